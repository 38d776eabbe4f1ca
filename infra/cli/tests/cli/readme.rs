//! A first-time walk through the README, from clone to a sent DM: its own commands are run, word
//! for word, so that it cannot lie.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::stand::Ran;

/// How often, and after how long each time, is looked whether the DM is out.
const LOOKS: u32 = 100;
const LOOK_AFTER: Duration = Duration::from_millis(200);

/// Puts built programs in the place of `cargo run`. Whatever else the README asks of cargo fails.
const CARGO: &str = r#"
cargo() {
  case "$*" in
    "run --release") exec "$LOCAL" $SMALLER ;;
    "run --release -- drill") exec "$LOCAL" drill $SMALLER ;;
    "run --release -- "*) shift 3; exec "$LOCAL" "$@" ;;
    "run --release -p spillway-cli -- "*) shift 5; exec "$SPILLWAY" "$@" ;;
    *) echo "the test does not know: cargo $*" >&2; exit 64 ;;
  esac
}
"#;

/// The story and the drill are played smaller: whole, they take a minute.
const SMALLER: &str = "--comments 60";

/// The lines of a section's shell blocks.
fn commands(readme: &str, section: &str) -> Vec<String> {
    let begin = readme.find(&format!("\n## {section}\n")).unwrap();
    let section = &readme[begin + 1..];
    let section = section.find("\n## ").map_or(section, |end| &section[..end]);
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// The local stack's program. A test of the workspace has built it; a test of this package alone
/// has not, if nobody did before.
fn local() -> PathBuf {
    let spillway = Path::new(env!("CARGO_BIN_EXE_spillway"));
    let local = spillway.with_file_name(format!("spillway-local{}", std::env::consts::EXE_SUFFIX));
    if !local.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "-p", "spillway-local"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "cannot build {}", local.display());
    }
    local
}

/// A terminal in a folder of its own.
struct Terminal {
    folder: PathBuf,
    exports: String,
}

impl Terminal {
    fn open() -> Self {
        let name = format!("readme-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, exports: String::new() }
    }

    fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", &format!("{CARGO}{}{line}", self.exports)])
            .current_dir(&self.folder)
            .env_remove("SPILLWAY_DEPLOYMENT")
            .env_remove("RUST_LOG")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("LOCAL", local())
            .env("SPILLWAY", env!("CARGO_BIN_EXE_spillway"))
            .env("SMALLER", SMALLER)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        shell
    }

    /// Runs a line to its end, and what it exports is there for the lines after it.
    fn run(&mut self, line: &str) -> String {
        if line.starts_with("export ") {
            self.exports.push_str(&format!("{line}\n"));
            return String::new();
        }
        let ran = Ran::from(self.shell(line).output().unwrap());
        assert_eq!(ran.code, 0, "`{line}` fails:\n{}\n{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs a line that goes on until it is ended.
    fn serve(&self, line: &str) -> Serving {
        let mut shell = self.shell(line);
        let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Serving { child, stdout }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What is left is in the build's own folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A served stack, ended with the test.
struct Serving {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Serving {
    /// What it says before it goes silent.
    fn welcome(&mut self) -> String {
        let mut welcome = String::new();
        while !welcome.contains("Stop with") {
            let read = self.stdout.read_line(&mut welcome).unwrap();
            assert!(read > 0, "it has ended:\n{welcome}");
        }
        welcome
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn whoever_follows_the_readme_sees_a_dm_go_out() {
    let readme = include_str!("../../../../README.md");
    let lines = commands(readme, "See it");
    let serve = lines.iter().position(|line| line.contains(" serve ")).expect("a line that serves");
    let (before, after) = (&lines[..serve], &lines[serve + 1..]);
    let mut terminal = Terminal::open();
    let played: Vec<String> = before.iter().map(|line| terminal.run(line)).collect();
    let [story, drill] = &played[..] else { panic!("the story and the drill: {before:?}") };
    assert!(story.contains("violations         0"), "{story}");
    assert!(drill.contains("lost                 0"), "{drill}");

    let mut serving = terminal.serve(&lines[serve]);
    let welcome = serving.welcome();
    let printed = |said: &str| {
        let (_, command) = welcome.split_once(said).unwrap_or_else(|| panic!("{welcome}"));
        command.trim().split("\n\n").next().unwrap().to_owned()
    };
    let posted: Value = serde_json::from_str(&terminal.run(&printed("Post a comment:"))).unwrap();
    let person = posted["person"].as_str().unwrap_or_else(|| panic!("{posted}"));
    assert_eq!(posted["send"]["send"], format!("17841400000000001/p.{person}"), "{posted}");
    let look = &printed("See what became of all comments:");
    let is_sent = (0..LOOKS).any(|_| {
        std::thread::sleep(LOOK_AFTER);
        let report: Value = serde_json::from_str(&terminal.run(look)).unwrap();
        assert_eq!((&report["matched"], &report["violations"]), (&1.into(), &0.into()), "{report}");
        report["sent"] == 1
    });
    assert!(is_sent, "never sent: {}", terminal.run(look));

    let told: Vec<(&String, String)> =
        after.iter().map(|line| (line, terminal.run(line))).collect();
    let told_by = |command: &str| {
        let found = told.iter().find(|(line, _)| line.contains(command));
        &found.unwrap_or_else(|| panic!("the README shows no `{command}`: {after:?}")).1
    };
    let account = "17841400000000001";
    let send = &*format!("{account}/p.{person}");
    assert!(told_by("-- status").contains(account), "{told:?}");
    assert!(told_by("-- send list").contains(send), "{told:?}");
    let history = told_by("-- send show");
    assert!(history.contains(send) && history.contains("sent"), "{history}");
}
