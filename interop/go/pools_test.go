package interop

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
)

type properties = armcontainerservice.ManagedClusterAgentPoolProfileProperties

// local is what each step uses.
type local struct {
	*testing.T
	ctx      context.Context
	admin    admin
	clusters *armcontainerservice.ManagedClustersClient
	pools    *armcontainerservice.AgentPoolsClient
}

func TestPools(t *testing.T) {
	if endpoint == "" {
		t.Skip("ENDPOINT is not set")
	}
	transport, err := httpClient()
	must(t, err)
	factory, err := connect(transport)
	must(t, err)
	for _, step := range []struct {
		name string
		run  func(local)
	}{
		{"list clusters of the subscription and of the resource group", listClusters},
		{"list pools, page after page", listPools},
		{"create pool blue and wait with the SDK's poller", create},
		{"get pool blue, with the service's defaults", get},
		{"update labels, taints and upgrade settings of pool blue by read, change, write", update},
		{"clear the taints of pool blue, the rest stays", clearTaints},
		{"scale pool blue out and in", scale},
		{"poll on through a 502 of the gateway", pollThrough},
		{"read what pool old could be upgraded to", readVersions},
		{"upgrade the version of pool old", upgradeVersion},
		{"upgrade the node image of pool apps", upgradeImage},
		{"read a refusal of the resource provider, 400 SystemPoolHasRestrictedTaint", readRefusal},
		{"read 412 PreconditionFailed where a pool was to be made and is there", readPrecondition},
		{"read 404 of the gateway for a cluster and of the resource provider for a pool", readAbsent},
		{"read 409 OperationNotAllowed of a busy pool, and abort what runs on it", abort},
		{"read the error of an operation that fails", readFailure},
		{"wait as long as 429 Throttled asks, and try again", throttled},
		{"delete pool blue, which is then absent", remove},
	} {
		passed := t.Run(step.name, func(t *testing.T) {
			step.run(local{t, context.Background(), admin{t, transport}, factory.NewManagedClustersClient(),
				factory.NewAgentPoolsClient()})
		})
		if !passed {
			t.Fatalf("FAILED go: %s", step.name)
		}
		fmt.Printf("ok go: %s\n", step.name)
	}
}

func listClusters(l local) {
	var names []string
	ofGroup := l.clusters.NewListByResourceGroupPager(group, nil)
	for ofGroup.More() {
		page, err := ofGroup.NextPage(l.ctx)
		must(l.T, err)
		for _, one := range page.Value {
			names = append(names, *one.Name)
		}
	}
	all := l.clusters.NewListPager(nil)
	for all.More() {
		page, err := all.NextPage(l.ctx)
		must(l.T, err)
		for _, one := range page.Value {
			names = append(names, *one.Name)
		}
	}
	same(l.T, "names", []string{cluster, cluster}, names)
	one, err := l.clusters.Get(l.ctx, group, cluster, nil)
	must(l.T, err)
	same(l.T, "version", "1.33.5", *one.Properties.CurrentKubernetesVersion)
}

func (l local) names() (names []string) {
	l.Helper()
	pages := l.pools.NewListPager(group, cluster, nil)
	for pages.More() {
		page, err := pages.NextPage(l.ctx)
		must(l.T, err)
		for _, pool := range page.Value {
			names = append(names, *pool.Name)
		}
	}
	return names
}

func listPools(l local) {
	same(l.T, "names", []string{"apps", "old", "system"}, l.names())
}

func create(l local) {
	since := l.admin.last()
	hold := l.admin.rule("operation-holds", object{"pool": "blue"})
	poller := l.change("blue", properties{
		Count: to.Ptr[int32](2), Mode: to.Ptr(armcontainerservice.AgentPoolModeUser),
		VMSize: to.Ptr("Standard_D4s_v5"), NodeLabels: labels("tier", "blue"),
	})
	same(l.T, "state while it is created", "Creating", l.state("blue"))
	_, err := poller.Poll(l.ctx)
	must(l.T, err)
	hold.end()
	same(l.T, "state", "Succeeded", *l.done(poller).ProvisioningState)
	polled := l.admin.polled(since)
	same(l.T, "the poller saw it run", true, len(polled) > 1 && polled[0] != "Succeeded")
	same(l.T, "the poller saw it end", "Succeeded", polled[len(polled)-1])
}

func get(l local) {
	pool, err := l.pools.Get(l.ctx, group, cluster, "blue", nil)
	must(l.T, err)
	same(l.T, "type", "Microsoft.ContainerService/managedClusters/agentPools", *pool.Type)
	same(l.T, "count", 2, *pool.Properties.Count)
	same(l.T, "labels", labels("tier", "blue"), pool.Properties.NodeLabels)
	same(l.T, "osSKU", armcontainerservice.OSSKUUbuntu, *pool.Properties.OSSKU)
	same(l.T, "scaleDownMode", armcontainerservice.ScaleDownModeDelete, *pool.Properties.ScaleDownMode)
	same(l.T, "power", armcontainerservice.CodeRunning, *pool.Properties.PowerState.Code)
}

func update(l local) {
	pool := l.read("blue")
	pool.NodeLabels = labels("tier", "blue", "stage", "test")
	pool.NodeTaints = []*string{to.Ptr("team=blue:NoSchedule")}
	pool.UpgradeSettings = &armcontainerservice.AgentPoolUpgradeSettings{MaxSurge: to.Ptr("33%")}
	written := l.done(l.change("blue", *pool))
	same(l.T, "labels", pool.NodeLabels, written.NodeLabels)
	same(l.T, "taints", pool.NodeTaints, written.NodeTaints)
	same(l.T, "maxSurge", "33%", *written.UpgradeSettings.MaxSurge)
	same(l.T, "count", 2, *written.Count)
}

func clearTaints(l local) {
	written := l.done(l.change("blue", properties{NodeTaints: []*string{}}))
	same(l.T, "taints", 0, len(written.NodeTaints))
	same(l.T, "labels", labels("tier", "blue", "stage", "test"), written.NodeLabels)
}

func scale(l local) {
	for _, count := range []int32{4, 1} {
		hold := l.admin.rule("operation-holds", object{"pool": "blue"})
		poller := l.change("blue", properties{Count: to.Ptr(count)})
		same(l.T, "state meanwhile", "Scaling", l.state("blue"))
		hold.end()
		same(l.T, "count", count, *l.done(poller).Count)
	}
}

func pollThrough(l local) {
	body := object{"error": object{"code": "BadGatewayConnection", "message": "The network connectivity issue encountered."}}
	fault := l.admin.rule("faults", object{"method": "GET", "pathContains": "/operations/", "times": 1,
		"action": answer(502, object{"x-ms-failure-cause": "gateway"}, body)})
	defer fault.end()
	written := l.done(l.change("blue", properties{Tags: labels("team", "blue")}))
	same(l.T, "state", "Succeeded", *written.ProvisioningState)
	same(l.T, "times it was met", 1, fault.happened())
}

func readVersions(l local) {
	profile, err := l.pools.GetUpgradeProfile(l.ctx, group, cluster, "old", nil)
	must(l.T, err)
	same(l.T, "version", "1.32.9", *profile.Properties.KubernetesVersion)
	same(l.T, "1.33.5 is offered", true, slices.ContainsFunc(profile.Properties.Upgrades,
		func(one *armcontainerservice.AgentPoolUpgradeProfilePropertiesUpgradesItem) bool {
			return *one.KubernetesVersion == "1.33.5"
		}))
	available, err := l.pools.GetAvailableAgentPoolVersions(l.ctx, group, cluster, nil)
	must(l.T, err)
	same(l.T, "1.33.5 is available", true, slices.ContainsFunc(available.Properties.AgentPoolVersions,
		func(one *armcontainerservice.AgentPoolAvailableVersionsPropertiesAgentPoolVersionsItem) bool {
			return *one.KubernetesVersion == "1.33.5"
		}))
}

func upgradeVersion(l local) {
	hold := l.admin.rule("operation-holds", object{"pool": "old"})
	poller := l.change("old", properties{OrchestratorVersion: to.Ptr("1.33.5")})
	same(l.T, "state meanwhile", "Upgrading", l.state("old"))
	hold.end()
	same(l.T, "version", "1.33.5", *l.done(poller).CurrentOrchestratorVersion)
}

func upgradeImage(l local) {
	poller, err := l.pools.BeginUpgradeNodeImageVersion(l.ctx, group, cluster, "apps", nil)
	must(l.T, err)
	_, err = poller.PollUntilDone(l.ctx, often())
	must(l.T, err)
	same(l.T, "state", "Succeeded", l.state("apps"))
}

func readRefusal(l local) {
	_, err := l.begin("system", properties{NodeTaints: []*string{to.Ptr("team=blue:NoSchedule")}})
	refused(l.T, err, 400, "SystemPoolHasRestrictedTaint", "Placing custom taints on system pool")
}

func readPrecondition(l local) {
	pool := armcontainerservice.AgentPool{Properties: &properties{Count: to.Ptr[int32](1)}}
	_, err := l.pools.BeginCreateOrUpdate(l.ctx, group, cluster, "apps", pool,
		&armcontainerservice.AgentPoolsClientBeginCreateOrUpdateOptions{IfNoneMatch: to.Ptr("*")})
	refused(l.T, err, 412, "PreconditionFailed", "")
}

func readAbsent(l local) {
	_, err := l.clusters.Get(l.ctx, group, "absent", nil)
	refused(l.T, err, 404, "ResourceNotFound", "managedClusters/absent")
	_, err = l.pools.Get(l.ctx, group, cluster, "absent", nil)
	refused(l.T, err, 404, "NotFound", "Could not find the agentpool: absent")
}

func abort(l local) {
	hold := l.admin.rule("operation-holds", object{"pool": "blue"})
	running := l.change("blue", properties{Count: to.Ptr[int32](3)})
	_, err := l.begin("blue", properties{NodeLabels: labels()})
	refused(l.T, err, 409, "OperationNotAllowed", "Another agentpool operation (blue - Scaling)")
	aborting, err := l.pools.BeginAbortLatestOperation(l.ctx, group, cluster, "blue", nil)
	must(l.T, err)
	same(l.T, "state meanwhile", "Canceling", l.state("blue"))
	hold.end()
	_, err = aborting.PollUntilDone(l.ctx, often())
	must(l.T, err)
	same(l.T, "state", "Canceled", l.state("blue"))
	_, err = running.PollUntilDone(l.ctx, often())
	refused(l.T, err, 200, "Canceled", "canceled by user")
	_, err = l.pools.BeginAbortLatestOperation(l.ctx, group, cluster, "blue", nil)
	refused(l.T, err, 409, "OperationNotAllowed", "")
}

func readFailure(l local) {
	failure := l.admin.rule("operation-failures",
		object{"pool": "blue", "code": "QuotaExceeded", "message": "no cores left", "times": 1})
	defer failure.end()
	_, err := l.change("blue", properties{Count: to.Ptr[int32](5)}).PollUntilDone(l.ctx, often())
	refused(l.T, err, 200, "QuotaExceeded", "no cores left")
	same(l.T, "state", "Failed", l.state("blue"))
	next := l.done(l.change("blue", properties{Count: to.Ptr[int32](2)}))
	same(l.T, "state after the next try", "Succeeded", *next.ProvisioningState)
}

func throttled(l local) {
	body := object{"code": "Throttled", "details": nil, "subcode": "",
		"message": "The GetAgentPoolHandler.GET request limit has been exceeded for SubID='" + subscription + "'"}
	fault := l.admin.rule("faults", object{"method": "GET", "pathEndsWith": "/agentPools/apps", "times": 1,
		"action": answer(429, object{"Retry-After": "2"}, body)})
	defer fault.end()
	begun := time.Now()
	same(l.T, "state", "Succeeded", l.state("apps"))
	same(l.T, "times it was met", 1, fault.happened())
	same(l.T, "waited for 2 s", true, time.Since(begun) >= 2*time.Second)
}

func remove(l local) {
	for _, state := range []string{"Deleting", ""} {
		hold := l.admin.rule("operation-holds", object{"pool": "blue"})
		poller, err := l.pools.BeginDelete(l.ctx, group, cluster, "blue", nil)
		must(l.T, err)
		if state != "" {
			same(l.T, "state meanwhile", state, l.state("blue"))
		}
		hold.end()
		_, err = poller.PollUntilDone(l.ctx, often())
		must(l.T, err)
		_, err = l.pools.Get(l.ctx, group, cluster, "blue", nil)
		refused(l.T, err, 404, "NotFound", "Could not find the agentpool: blue")
	}
	listPools(l)
}

type poller = runtime.Poller[armcontainerservice.AgentPoolsClientCreateOrUpdateResponse]

// begin begins a PUT of these properties only; the rest stays as it is.
func (l local) begin(name string, of properties) (*poller, error) {
	return l.pools.BeginCreateOrUpdate(l.ctx, group, cluster, name, armcontainerservice.AgentPool{Properties: &of}, nil)
}

func (l local) change(name string, of properties) *poller {
	l.Helper()
	begun, err := l.begin(name, of)
	must(l.T, err)
	return begun
}

// done waits with the SDK's poller and gives the pool that it ends with.
func (l local) done(begun *poller) *properties {
	l.Helper()
	end, err := begun.PollUntilDone(l.ctx, often())
	must(l.T, err)
	return end.Properties
}

func (l local) read(name string) *properties {
	l.Helper()
	pool, err := l.pools.Get(l.ctx, group, cluster, name, nil)
	must(l.T, err)
	return pool.Properties
}

func (l local) state(name string) string {
	l.Helper()
	return *l.read(name).ProvisioningState
}

// often is how often operations are asked for; the service's run faster here.
func often() *runtime.PollUntilDoneOptions {
	return &runtime.PollUntilDoneOptions{Frequency: 200 * time.Millisecond}
}

func answer(status int, headers, body object) object {
	return object{"answer": object{"status": status, "headers": headers, "body": body}}
}

func labels(pairs ...string) map[string]*string {
	made := map[string]*string{}
	for pair := range slices.Chunk(pairs, 2) {
		made[pair[0]] = to.Ptr(pair[1])
	}
	return made
}

// refused checks what the SDK's own error says.
func refused(t *testing.T, err error, status int, code, part string) {
	t.Helper()
	var response *azcore.ResponseError
	if !errors.As(err, &response) {
		t.Fatalf("expected a ResponseError %s, got %v", code, err)
	}
	same(t, "status", status, response.StatusCode)
	same(t, "code", code, response.ErrorCode)
	if !strings.Contains(response.Error(), part) {
		t.Fatalf("expected an error with %q, got %v", part, response)
	}
}

func same[T any](t *testing.T, what string, expected, got T) {
	t.Helper()
	if !reflect.DeepEqual(expected, got) {
		t.Fatalf("%s: expected %v, got %v", what, expected, got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("expected no error, got %v", err)
	}
}
