# Of what cargo-cyclonedx wrote: only what cargo itself names ($named), what is linked ($linked) apart from what only runs while
# the binary is built, and no path of this machine. Never adds a component.

def name_of: .name + "@" + .version;
def set: map({ (.): true }) | add;

($named | set) as $named
| ($linked | set) as $linked
| ([.metadata.component, .components[]] | map({ (."bom-ref"): . }) | add | map_values(select($named[name_of]))) as $all
| ($all | map_values(select(."bom-ref" | startswith("path+file:")) | "pkg:cargo/" + name_of)) as $own
| .components |= map(select($all[."bom-ref"]) | if $linked[name_of] then . else .scope = "excluded" end)
| .dependencies |= map(select($all[.ref]) | if .dependsOn then .dependsOn |= map(select($all[.])) else . end)
| del(.serialNumber)
| walk(if type == "string" then $own[.] // sub("\\?download_url=file:.*$"; "") else . end)
