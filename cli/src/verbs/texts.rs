//! `completions` and `man`: texts for the shell and for man(1), made from the same flags as the help.

use crate::{
    args::{Cli, EXAMPLE},
    exit::{Done, Exit, Fail},
    out::Out,
};
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

pub(crate) fn completions(shell: Shell) -> Done {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "plugcache", &mut text);
    print(&text)
}

/// One page with all verbs.
pub(crate) fn man() -> Done {
    let mut command = Cli::command().before_help(None);
    command.build();
    let mut page = Vec::new();
    render(&command, EXAMPLE, &mut page)
        .map_err(|error| Fail::new(format!("no page could be made: {error}")))?;
    print(&page)
}

fn render(command: &clap::Command, example: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    let man = Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    page.extend_from_slice(b".SH EXAMPLE\n.nf\n");
    page.extend_from_slice(roff(example).as_bytes());
    page.extend_from_slice(b"\n.fi\n");
    for verb in verbs_of(command) {
        page.extend_from_slice(format!(".SH {}\n", verb.get_name().to_uppercase()).as_bytes());
        render_verb(verb, page)?;
        for part in verbs_of(verb) {
            page.extend_from_slice(format!(".SH {} {}\n", verb.get_name(), part.get_name()).as_bytes());
            render_verb(part, page)?;
        }
    }
    man.render_extra_section(page)
}

fn verbs_of(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|verb| verb.get_name() != "help")
}

/// What a verb does, how it is called, and what is said below its help.
fn render_verb(verb: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let about = verb.get_long_about().or_else(|| verb.get_about());
    page.extend_from_slice(roff(&about.map(ToString::to_string).unwrap_or_default()).as_bytes());
    page.extend_from_slice(b"\n");
    let man = Man::new(verb.clone());
    let mut part = Vec::new();
    man.render_synopsis_section(&mut part)?;
    man.render_options_section(&mut part)?;
    // The sections of a verb stand below its own.
    page.extend_from_slice(String::from_utf8_lossy(&part).replace(".SH ", ".SS ").as_bytes());
    if let Some(after) = verb.get_after_help() {
        page.extend_from_slice(format!(".PP\n{}\n", roff(&after.to_string())).as_bytes());
    }
    Ok(())
}

/// Text as roff takes it: no line begins with a control character, and no hyphen is a soft one.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', r"\e").replace('-', r"\-");
    let line = |line: &str| if line.starts_with(['.', '\'']) { format!(r"\&{line}") } else { line.into() };
    escaped.lines().map(line).collect::<Vec<String>>().join("\n")
}

fn print(text: &[u8]) -> Done {
    let mut out = Out::new();
    out.bytes(text)?;
    out.finish()?;
    Ok(Exit::Success)
}
