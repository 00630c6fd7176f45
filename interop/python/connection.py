"""The SDK's client for the endpoint under test, with a real sign-in where there is a secret. Never makes a request."""

import os

from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.identity import ClientSecretCredential
from azure.mgmt.containerservice import ContainerServiceClient

ENDPOINT = os.environ["ENDPOINT"].rstrip("/")
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP = CLUSTER = "interop"


class StaticToken:
    """A token that no authority issued, for an emulator that asks for none."""

    def get_token(self, *scopes, **kwargs):
        return AccessToken("interop", 4102444800)


class AllowPlainHttp(SansIOHTTPPolicy):
    """The SDK sends tokens over TLS only, unless each request says otherwise."""

    def on_request(self, request):
        request.context.options.setdefault("enforce_https", False)


def connect():
    """A client of the endpoint in ENDPOINT.

    With CLIENT_SECRET it signs in at AUTHORITY (by default ENDPOINT) as CLIENT_ID of TENANT. CA names the file of
    the authority that signed the endpoint's certificate.
    """
    options = {
        "base_url": ENDPOINT,
        "credential_scopes": [ENDPOINT + "/.default"],
        # Between two polls of an operation, in seconds; the service's operations run faster here.
        "polling_interval": 0.2,
        "user_agent": "interop-python",
    }
    verify = {"connection_verify": os.environ["CA"]} if os.environ.get("CA") else {}
    if os.environ.get("CLIENT_SECRET"):
        credential = ClientSecretCredential(
            tenant_id=os.environ["TENANT"],
            client_id=os.environ["CLIENT_ID"],
            client_secret=os.environ["CLIENT_SECRET"],
            authority=os.environ.get("AUTHORITY", ENDPOINT),
            disable_instance_discovery=True,
            **verify,
        )
    else:
        credential = StaticToken()
    if ENDPOINT.startswith("http:"):
        options["per_call_policies"] = [AllowPlainHttp()]
    return ContainerServiceClient(credential, SUBSCRIPTION, **options, **verify)
