// Who the operator is in Azure: an identity, the trust in its service account, and a role on this one cluster.
//
//   az deployment group create --resource-group GROUP --template-file main.bicep --parameters clusterName=CLUSTER \
//     --query properties.outputs.clientId.value --output tsv

@description('Name of the AKS cluster. It is in the resource group of this deployment, and has an OIDC issuer.')
param clusterName string

@description('Name of the identity.')
param identityName string = 'nodepool-operator'

@description('Location of the identity.')
param location string = resourceGroup().location

@description('Namespace of the operator.')
param namespace string = 'nodepool-operator'

@description('Service account of the operator.')
param serviceAccount string = 'nodepool-operator'

// The same file that az role definition create takes, so that the two can't differ.
var role = loadJsonContent('role.json')

resource cluster 'Microsoft.ContainerService/managedClusters@2025-10-01' existing = {
  name: clusterName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: identityName
  location: location
}

resource trust 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = {
  parent: identity
  name: clusterName
  properties: {
    issuer: cluster.properties.oidcIssuerProfile.issuerURL
    subject: 'system:serviceaccount:${namespace}:${serviceAccount}'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

// The names of custom roles are unique in a tenant.
resource definition 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, role.Name)
  properties: {
    roleName: '${role.Name} (${resourceGroup().name}, ${uniqueString(resourceGroup().id)})'
    description: role.Description
    type: 'CustomRole'
    permissions: [
      {
        actions: role.Actions
        notActions: []
      }
    ]
    assignableScopes: [
      resourceGroup().id
    ]
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(cluster.id, identity.id, definition.id)
  scope: cluster
  properties: {
    roleDefinitionId: definition.id
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

@description('What azure.clientId of the chart is set to.')
output clientId string = identity.properties.clientId

@description('What clusterResourceId of the chart is set to.')
output clusterResourceId string = cluster.id
