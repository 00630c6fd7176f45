package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
)

const (
	subscription = "11111111-2222-3333-4444-555555555555"
	group        = "interop"
	cluster      = "interop"
)

var endpoint = strings.TrimRight(os.Getenv("ENDPOINT"), "/")

// staticToken is a token that no authority issued, for an emulator that asks for none.
type staticToken struct{}

func (staticToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "interop", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// httpClient trusts the authority in the file CA beside the usual ones.
func httpClient() (*http.Client, error) {
	file := os.Getenv("CA")
	if file == "" {
		return &http.Client{}, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA: %s has no certificate", file)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, nil
}

// connect makes clients of the endpoint in ENDPOINT. With CLIENT_SECRET they sign in at AUTHORITY (by default ENDPOINT)
// as CLIENT_ID of TENANT.
func connect(transport *http.Client) (*armcontainerservice.ClientFactory, error) {
	authority := os.Getenv("AUTHORITY")
	if authority == "" {
		authority = endpoint
	}
	options := policy.ClientOptions{
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: authority,
			Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Audience: endpoint, Endpoint: endpoint},
			},
		},
		Transport: transport,
		Telemetry: policy.TelemetryOptions{ApplicationID: "interop-go"},
		// The SDK sends tokens over TLS only, unless told otherwise.
		InsecureAllowCredentialWithHTTP: strings.HasPrefix(endpoint, "http:"),
	}
	var credential azcore.TokenCredential = staticToken{}
	if secret := os.Getenv("CLIENT_SECRET"); secret != "" {
		real, err := azidentity.NewClientSecretCredential(os.Getenv("TENANT"), os.Getenv("CLIENT_ID"), secret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		if err != nil {
			return nil, err
		}
		credential = real
	}
	return armcontainerservice.NewClientFactory(subscription, credential, &arm.ClientOptions{ClientOptions: options})
}
