//! The documentation keeps up with the code: every rule, setting and status field is described, and every link leads
//! somewhere. Never judges the prose.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use nodepool_kernel::Rule;
use nodepool_operator::run::Arguments;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    let text = std::fs::read_to_string(root().join(page)).unwrap_or_default();
    assert!(!text.is_empty(), "{page} is missing or empty");
    text
}

#[test]
fn every_rule_has_a_section_and_a_line_in_the_overview() {
    let page = read("docs/safety.md");
    for rule in Rule::ALL {
        let heading = page.lines().any(|line| line.starts_with("### ") && line.contains(rule.name()));
        assert!(heading, "docs/safety.md has no section on {rule}");
        assert!(page.contains(&format!("`{rule}`")), "the overview of docs/safety.md lacks {rule}");
    }
}

#[test]
fn every_rule_is_among_the_reasons_and_the_health_check_is_the_one_that_is_shipped() {
    let page = read("docs/status.md");
    for rule in Rule::ALL.iter().filter(|rule| !matches!(rule, Rule::OperationInProgress)) {
        assert!(page.contains(&format!("`{rule}`")), "docs/status.md lacks {rule}");
    }
    let script = read("deploy/argocd/health.lua");
    let indented: Vec<String> = script.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect();
    assert!(page.contains(&indented.join("\n")), "docs/status.md shows another health check");
}

#[test]
fn every_reason_that_the_code_gives_is_in_the_list() {
    const SOURCES: [&str; 9] = [
        "kernel/src/plan/problem.rs",
        "src/report/break_glass.rs",
        "src/report/conditions.rs",
        "src/report/events.rs",
        "src/report/history.rs",
        "src/report/status.rs",
        "src/report/summary.rs",
        "src/run/drains.rs",
        "src/run/farewell.rs",
    ];
    let page = read("docs/status.md");
    // Words of several parts, each with a capital, are reasons, outcomes or kinds, all of which the page has.
    let is_reason = |word: &&str| {
        let capitals = word.chars().filter(char::is_ascii_uppercase).count();
        capitals > 1 && word.chars().all(char::is_alphabetic) && word.starts_with(|c: char| c.is_ascii_uppercase())
    };
    let mut found = 0;
    for source in SOURCES {
        let text = read(source);
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for reason in product.split('"').filter(is_reason) {
            found += 1;
            assert!(page.contains(&format!("`{reason}`")), "docs/status.md lacks {reason} ({source})");
        }
    }
    assert!(found > 30, "only {found} reasons were found");
}

#[test]
fn every_reason_and_rule_has_a_page_of_what_people_read() {
    let status = read("docs/status.md");
    let list = status.split("## Reasons").nth(1).and_then(|rest| rest.split("## Fields").next()).unwrap_or_default();
    let first_cell = |line: &str| line.strip_prefix("| `").and_then(|rest| rest.split('`').next()).map(str::to_owned);
    let reasons: Vec<String> = list.lines().filter_map(first_cell).collect();
    assert!(reasons.len() > 20, "{reasons:?}");
    let pages: String = pages_of_stories().concat();
    for reason in reasons.iter().map(String::as_str).chain(Rule::ALL.iter().map(|rule| rule.name())) {
        let is_shown = |name: &str| {
            pages.lines().map(str::trim).any(|line| {
                let told = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'));
                told.is_some_and(|told| told.trim() == reason)
            })
        };
        assert!(is_shown("Reason") || is_shown("Rule"), "no page in tests/stories/pages shows {reason}");
    }
}

#[test]
fn every_setting_is_in_the_table_with_its_variable_and_default() {
    let page = read("docs/operations.md");
    let command = Arguments::augment_args(Command::new("run"));
    for argument in command.get_arguments() {
        let flag = format!("`--{}`", argument.get_long().unwrap());
        let variable =
            argument.get_env().and_then(|name| name.to_str()).unwrap_or_else(|| panic!("{flag} has no variable"));
        let row = page.lines().find(|line| line.starts_with(&format!("| {flag}")));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md does not describe {flag}"));
        assert!(row.contains(&format!("`{variable}`")), "{row} does not name {variable}");
        for default in argument.get_default_values() {
            assert!(row.contains(default.to_str().unwrap()), "{row} does not name the default {default:?}");
        }
    }
}

#[test]
fn the_role_in_azure_is_the_one_that_is_described() {
    let role: serde_json::Value = serde_json::from_str(&read("deploy/azure/role.json")).unwrap();
    let actions: Vec<&str> = role["Actions"].as_array().into_iter().flatten().filter_map(|it| it.as_str()).collect();
    let page = read("docs/operations.md");
    let permissions = page.split("## Permissions").nth(1).and_then(|rest| rest.split("## Stop").next()).unwrap();
    let cell =
        |line: &str| line.strip_prefix("| `Microsoft.").and_then(|rest| Some(rest.split_once('`')?.0.to_owned()));
    let described: Vec<String> = permissions.lines().filter_map(cell).map(|name| format!("Microsoft.{name}")).collect();
    assert!(actions.len() > 5, "{actions:?}");
    assert_eq!(actions, described);
    // The Bicep file takes the actions from the role, and names none itself.
    let bicep = read("deploy/azure/main.bicep");
    assert!(bicep.contains("loadJsonContent('role.json')") && bicep.contains("actions: role.Actions"), "{bicep}");
    assert!(
        !bicep.contains("Microsoft.ContainerService/managedClusters/"),
        "the Bicep file names an action of its own"
    );
}

#[test]
fn every_field_of_a_status_is_described() {
    for (plural, page) in [("nodepoolpolicies", "docs/status.md"), ("nodepoolinventories", "docs/inventory.md")] {
        let definitions = nodepool_operator::api::definitions().unwrap();
        let definition = definitions.iter().find(|definition| definition.plural == plural).unwrap();
        let crd: serde_json::Value = serde_saphyr::from_str(&read(&definition.stored_as)).unwrap();
        let fields = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
        let text = read(page);
        for field in fields.as_object().unwrap().keys() {
            assert!(text.contains(&format!("`{field}")), "{page} does not describe {field}");
        }
    }
}

#[test]
fn every_field_of_the_template_is_described_with_its_property() {
    let page = read("docs/create.md");
    for field in &nodepool_kernel::TEMPLATE_FIELDS {
        let row = format!("| `{}` | `{}` |", field.name, field.property);
        assert!(page.contains(&row), "docs/create.md lacks the row {row}");
    }
}

/// The text with every run of white space as one space: pages wrap what kubectl prints in one line.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The samples of a page: what is printed after each command of a `console` block, and every `text` block.
fn samples(page: &str) -> Vec<String> {
    let mut samples = Vec::new();
    for block in page.split("\n```").filter_map(|block| block.split_once('\n')) {
        match block {
            ("console", lines) => samples.extend(lines.split("$ ").filter(|one| one.trim().contains('\n')).map(flat)),
            ("text", lines) => samples.push(flat(lines)),
            _ => {}
        }
    }
    samples
}

#[test]
fn every_sample_is_what_a_story_printed() {
    let printed: Vec<String> = pages_of_stories().iter().map(|page| flat(page)).collect();
    // What is left out stands as three dots.
    let is_in = |sample: &str, page: &str| {
        let mut rest = page;
        sample.replace('…', "...").split("...").map(str::trim).all(|part| {
            let found = rest.find(part);
            rest = found.and_then(|at| rest.get(at + part.len()..)).unwrap_or_default();
            found.is_some()
        })
    };
    let (mut found, mut missing) = (0, Vec::new());
    for page in pages_of_docs() {
        for sample in samples(&read(&page)) {
            found += 1;
            if !printed.iter().any(|printed| is_in(&sample, printed)) {
                missing.push(format!("{page}: {sample}"));
            }
        }
    }
    assert!(missing.is_empty(), "no story printed this:\n{}", missing.join("\n"));
    assert!(found > 20, "only {found} samples were found");
}

/// What people read at the moments of the stories.
fn pages_of_stories() -> Vec<String> {
    let pages = std::fs::read_dir(root().join("tests/stories/pages")).into_iter().flatten().flatten();
    pages.filter_map(|page| std::fs::read_to_string(page.path()).ok()).collect()
}

/// The README and the pages of the documentation, as paths from the root.
fn pages_of_docs() -> Vec<String> {
    let docs = std::fs::read_dir(root().join("docs")).into_iter().flatten().flatten().map(|page| page.path());
    let docs = docs.filter(|page| page.extension().is_some_and(|extension| extension == "md"));
    let names = docs.filter_map(|page| Some(format!("docs/{}", page.file_name()?.to_str()?)));
    let mut pages: Vec<String> = names.collect();
    pages.extend(["README.md".to_owned(), "deploy/README.md".to_owned()]);
    pages.retain(|page| root().join(page).exists());
    pages.sort();
    pages
}

#[test]
fn every_complaint_has_stories_that_are_told() {
    let files = std::fs::read_dir(root().join("tests/stories")).unwrap().map(|file| file.unwrap().path());
    let sources: Vec<String> =
        files.filter(|file| file.is_file()).map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let page = read("docs/complaints.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| R")).collect();
    assert!(rows.len() > 20, "docs/complaints.md has {} rows", rows.len());
    for row in rows {
        let stories: Vec<&str> = row.rsplit(" | ").next().unwrap().split('`').skip(1).step_by(2).collect();
        assert!(!stories.is_empty(), "{row} names no story");
        for story in stories {
            let told = format!("story(\"{story}\"");
            assert!(sources.iter().any(|source| source.contains(&told)), "docs/complaints.md: no story {story}");
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let others = ["CONTRIBUTING.md", "SECURITY.md", "aks-emulator/README.md", "interop/README.md"].map(str::to_owned);
    for page in pages_of_docs().into_iter().chain(others) {
        let text = read(&page);
        let folder = root().join(&page).parent().map(Path::to_path_buf).unwrap_or_default();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(folder.join(file).exists(), "{page} links to {link}, which does not exist");
        }
    }
}
