package kstatus

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What Flux should make of an object, by what Argo CD made of it.
var wanted = map[string]status.Status{
	"Healthy":     status.CurrentStatus,
	"Progressing": status.InProgressStatus,
	"Degraded":    status.FailedStatus,
}

// A policy as a story saw it, a line each.
type seen struct {
	Health string                    `json:"health"`
	Policy unstructured.Unstructured `json:"policy"`
}

func TestFluxAndArgoAgree(t *testing.T) {
	file, err := os.Open(os.Getenv("NODEPOOL_SEEN"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	counts := map[status.Status]int{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var seen seen
		if err := json.Unmarshal(lines.Bytes(), &seen); err != nil {
			t.Fatal(err)
		}
		policy := &seen.Policy
		want := wanted[seen.Health]
		if policy.GetDeletionTimestamp() != nil {
			want = status.TerminatingStatus
		}
		result, err := status.Compute(policy)
		if err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if result.Status != want {
			t.Errorf("%s is %s (%s) for Flux, not %s: %s", policy.GetName(), result.Status, result.Message, want, lines.Text())
		}
		counts[result.Status]++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for _, expected := range wanted {
		if counts[expected] == 0 {
			t.Errorf("no policy was seen that is %s", expected)
		}
	}
	t.Logf("policies seen: %v", counts)
}
