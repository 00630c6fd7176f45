-- Argo CD's health check of a NodePoolPolicy. The conditions follow the rules of kstatus.
hs = {status = "Progressing", message = "the operator has not looked at it yet"}
if obj.status == nil or obj.status.conditions == nil
    or obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end
for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Stalled" and condition.status == "True" then
    return {status = "Degraded", message = condition.message}
  end
  if condition.type == "Ready" then
    hs.status = condition.status == "True" and "Healthy" or "Progressing"
    hs.message = condition.message
  end
end
return hs
