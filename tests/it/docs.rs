//! Every command that README.md and `docs/` show is run, and what `.ci/run` takes from README.md is there.
//!
//! A fenced block marked `sh` is one script, run from the root of the repository with a cache directory of
//! its own document. `sh norun REASON` is not run, and says why. A script that would start this test again
//! is not run either: the test command is only compared with the one that `.ci/run` uses.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A fenced block of a document.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    /// Of its first fence, from 1.
    line: usize,
    /// What stands behind the first fence.
    info: String,
    text: String,
}

/// All fenced blocks, in order. A fence is closed by one of at least its length.
fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut fence = None;
    for (number, line) in (1..).zip(document.lines()) {
        // Within a list a fence is indented.
        let bare = line.trim();
        let ticks = bare.len() - bare.trim_start_matches('`').len();
        match fence {
            None if ticks >= 3 => {
                fence = Some(ticks);
                let info = bare[ticks..].trim().into();
                blocks.push(Block { line: number, info, text: String::new() });
            }
            Some(opened) if ticks >= opened && ticks == bare.len() => fence = None,
            Some(_) => {
                let block = blocks.last_mut().expect("a fence opens a block");
                block.text.extend([line, "\n"]);
            }
            None => {}
        }
    }
    blocks
}

/// What is to be done with a block.
#[derive(Debug, PartialEq, Eq)]
enum Todo {
    Run,
    /// It is not a command.
    Nothing,
    Skip(String),
    /// It is the test command: it must be the one of `.ci/run`.
    Compare,
    Wrong(&'static str),
}

fn todo(block: &Block) -> Todo {
    let (language, rest) = block.info.split_once(' ').unwrap_or((&block.info, ""));
    let starts = |command: &str| block.text.lines().any(|line| line.trim_start().starts_with(command));
    match (language, rest.split_once(' ').unwrap_or((rest, ""))) {
        ("bash" | "console" | "shell" | "", _) => {
            Todo::Wrong("mark commands as `sh` and everything else as what it is (`text` if nothing)")
        }
        ("sh", ("norun", "")) => Todo::Wrong("say behind `norun` why"),
        ("sh", ("norun", why)) => Todo::Skip(why.into()),
        ("sh", ("", _)) if starts("cargo test") => Todo::Compare,
        ("sh", ("", _)) if starts(".ci/run") => Todo::Skip("it would start this test again".into()),
        ("sh", ("", _)) => Todo::Run,
        ("sh", _) => Todo::Wrong("only `norun` may stand behind `sh`"),
        _ => Todo::Nothing,
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md, and the documents in `docs/` and below by name.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    collect(&root().join("docs"), &mut documents);
    documents.sort();
    documents.insert(0, root().join("README.md"));
    documents
}

fn collect(dir: &Path, documents: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, documents);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The command block of README.md that `.ci/run` takes under this number.
fn shown_by_ci(number: &str) -> String {
    let output = Command::new(root().join(".ci/run")).args(["show", number]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs one script; what it printed if it failed.
fn run(script: &str, cache: &Path) -> Result<(), String> {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(root())
        .env("XDG_CACHE_HOME", cache)
        .env_remove("PLUGCACHE_DIR")
        .env_remove("PLUGCACHE_DISABLE")
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(());
    }
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{}\n{script}\n{out}\n{err}", output.status))
}

#[test]
fn every_command_of_the_documents_runs() {
    let mut wrong = Vec::new();
    for document in documents() {
        let cache = tempfile::tempdir().unwrap();
        for block in blocks(&read(&document)) {
            let place = format!("{}:{}", document.display(), block.line);
            let problem = match todo(&block) {
                Todo::Nothing => None,
                Todo::Skip(why) => {
                    println!("{place}: skipped: {why}");
                    None
                }
                Todo::Wrong(why) => Some(why.into()),
                Todo::Compare if block.text == shown_by_ci("2") => None,
                Todo::Compare => Some("this is not the test command that .ci/run uses".into()),
                Todo::Run => run(&block.text, cache.path()).err(),
            };
            wrong.extend(problem.map(|problem| format!("{place}: {problem}")));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_first_two_commands_of_the_readme_are_the_example_host_and_the_tests() {
    let commands: Vec<Block> = blocks(&read(&root().join("README.md")))
        .into_iter()
        .filter(|block| block.info.split(' ').next() == Some("sh"))
        .collect();
    assert_eq!(commands[0].text, "cargo run --release --example plugin_host\n");
    assert_eq!(commands[1].text, "cargo test --workspace\n");
    assert_eq!([&commands[0].text, &commands[1].text], [&shown_by_ci("1"), &shown_by_ci("2")]);
}

#[test]
fn the_guides_for_hosts_are_among_the_documents() {
    let guides = documents().into_iter().filter(|path| path.parent() == Some(&root().join("docs/hosts")));
    assert!(guides.count() >= 4);
}

/// A link between documents leads to a file.
#[test]
fn every_link_to_a_file_leads_somewhere() {
    let mut wrong = Vec::new();
    for document in documents() {
        let text = read(&document);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(to, _)| to);
        let files = targets.map(|to| to.split('#').next().unwrap()).filter(|to| !to.is_empty());
        let local = files.filter(|to| !to.contains(':') && !to.contains(' '));
        wrong.extend(local.filter(|to| !document.with_file_name(to).exists()).map(String::from));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_block_ends_at_the_fence_that_closes_it_and_at_no_other() {
    let document =
        "a\n```sh norun it is slow\nb\n\n```\n````rust\n```\nc\n````\n`d`\n* e\n  ```text\n  f\n  ```\n";
    let block = |line, info: &str, text: &str| Block { line, info: info.into(), text: text.into() };
    let expected =
        [block(2, "sh norun it is slow", "b\n\n"), block(6, "rust", "```\nc\n"), block(12, "text", "  f\n")];
    assert_eq!(blocks(document), expected);
}

#[test]
fn a_command_is_run_unless_it_says_why_not_or_would_start_this_test_again() {
    let todo = |info: &str, text: &str| todo(&Block { line: 1, info: info.into(), text: text.into() });
    assert_eq!(todo("sh", "ls\n"), Todo::Run);
    assert_eq!(todo("sh norun it is slow", "ls\n"), Todo::Skip("it is slow".into()));
    assert_eq!(todo("sh", "ls\ncargo test --lib\n"), Todo::Compare);
    assert!(matches!(todo("sh", ".ci/run\n"), Todo::Skip(_)));
    assert_eq!(todo("rust", "fn f() {}\n"), Todo::Nothing);
    for info in ["sh norun", "sh later", "bash", "", "console"] {
        assert!(matches!(todo(info, "ls\n"), Todo::Wrong(_)), "{info}");
    }
}
