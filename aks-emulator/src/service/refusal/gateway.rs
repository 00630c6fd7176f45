//! What the gateway in front of the provider refuses. Never what the provider does.

use super::Refusal;

impl Refusal {
    pub(crate) fn missing_api_version() -> Self {
        Self::gateway(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    }

    pub(crate) fn api_version(location: &str, version: &str, kind: &str, known: &[&str]) -> Self {
        let message = format!(
            "No registered resource provider found for location '{location}' and API version '{version}' for type \
             '{kind}'. The supported api-versions are '{}'. The supported locations are '{location}'.",
            known.join(", ")
        );
        Self::gateway(400, "NoRegisteredProviderFound", message)
    }

    pub(crate) fn subscription(id: &str) -> Self {
        Self::gateway(404, "SubscriptionNotFound", format!("The subscription '{id}' could not be found."))
    }

    pub(crate) fn resource_group(name: &str) -> Self {
        Self::gateway(404, "ResourceGroupNotFound", format!("Resource group '{name}' could not be found."))
    }

    pub(crate) fn cluster(name: &str, resource_group: &str) -> Self {
        Self::gateway(
            404,
            "ResourceNotFound",
            format!(
                "The Resource 'Microsoft.ContainerService/managedClusters/{name}' under resource group \
                 '{resource_group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    pub(crate) fn parent(action: &str, parent: &str) -> Self {
        Self::gateway(
            404,
            "ParentResourceNotFound",
            format!(
                "Failed to perform '{action}' on resource(s) of type 'managedClusters/agentPools', because the parent \
                 resource '{parent}' could not be found."
            ),
        )
    }

    /// The gateway's answer to a path that names no known type. The text is not recorded.
    pub(crate) fn unknown_path(path: &str) -> Self {
        Self::gateway(
            404,
            "InvalidResourceType",
            format!("The resource type could not be found for the path '{path}'."),
        )
    }

    /// The gateway's answer to a method that the type does not have. The text is not recorded.
    pub(crate) fn method(method: &str) -> Self {
        Self::gateway(
            405,
            "MethodNotAllowed",
            format!("The request method '{method}' is not supported for this resource."),
        )
    }

    pub(crate) fn content(problem: &str) -> Self {
        Self::gateway(
            400,
            "InvalidRequestContent",
            format!("The request content was invalid and could not be deserialized: '{problem}'."),
        )
    }

    /// An operation's URL whose signature is not the one that was given out.
    pub(crate) fn forbidden(action: &str, scope: &str) -> Self {
        let client = "00000000-0000-0000-0000-000000000001";
        Self::gateway(
            403,
            "AuthorizationFailed",
            format!(
                "The client '{client}' with object id '{client}' does not have authorization to perform action \
                 '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please \
                 refresh your credentials."
            ),
        )
    }

    /// The emulator was stopped while a request was held.
    pub(crate) fn stopping() -> Self {
        Self::gateway(503, "ServiceUnavailable", "The emulator is stopping.")
    }

    /// The clock was to be moved and is not one that can be.
    pub(crate) fn real_time() -> Self {
        Self::gateway(409, "RealTime", "The clock keeps real time: start the emulator with a manual clock to move it.")
    }

    /// A defect of the emulator.
    pub(crate) fn internal() -> Self {
        Self::gateway(500, "InternalServerError", "The emulator failed to handle the request.")
    }
}
