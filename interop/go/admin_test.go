package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// object is a JSON object.
type object = map[string]any

// admin is the emulator's admin API: faults on demand, and the journal.
type admin struct {
	t      *testing.T
	client *http.Client
}

func (a admin) ask(method, path string, body any, into any) {
	a.t.Helper()
	sent, err := json.Marshal(body)
	must(a.t, err)
	request, err := http.NewRequest(method, endpoint+"/admin/"+path, bytes.NewReader(sent))
	must(a.t, err)
	response, err := a.client.Do(request)
	must(a.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(a.t, err)
	if response.StatusCode >= 300 {
		a.t.Fatalf("%s %s: got %s %s", method, path, response.Status, text)
	}
	if into != nil {
		must(a.t, json.Unmarshal(text, into))
	}
}

// rule is laid until it is ended.
type rule struct {
	admin admin
	ID    int
}

func (a admin) rule(kind string, what object) rule {
	a.t.Helper()
	laid := rule{admin: a}
	a.ask("POST", kind, what, &laid)
	return laid
}

// happened says how often a fault was met.
func (r rule) happened() int {
	r.admin.t.Helper()
	var all struct{ Value []struct{ ID, Happened int } }
	r.admin.ask("GET", "rules", nil, &all)
	for _, one := range all.Value {
		if one.ID == r.ID {
			return one.Happened
		}
	}
	return 0
}

func (r rule) end() {
	r.admin.t.Helper()
	r.admin.ask("DELETE", fmt.Sprintf("rules/%d", r.ID), nil, nil)
}

// polled gives the statuses that operations were seen with since a request.
func (a admin) polled(since int) (statuses []string) {
	a.t.Helper()
	for _, one := range a.journal(since) {
		if strings.Contains(one.Path, "/operations/") {
			statuses = append(statuses, one.Response.Status)
		}
	}
	return statuses
}

// last gives the number of the newest request.
func (a admin) last() (number int) {
	a.t.Helper()
	for _, one := range a.journal(0) {
		number = max(number, one.Sequence)
	}
	return number
}

type exchange struct {
	Sequence int
	Path     string
	Response struct{ Status string }
}

func (a admin) journal(after int) []exchange {
	a.t.Helper()
	var all struct{ Value []exchange }
	a.ask("GET", fmt.Sprintf("journal?after=%d", after), nil, &all)
	return all.Value
}
