//! `run`: a command that does not run if what it makes is in the store.
//!
//! The build comes first: whatever is wrong with the store, the command runs as it would without plugcache, and ends
//! with its own code. Only a required hit, and flags that make no key, keep it from running.

use crate::{
    args::RunArgs,
    exit::{Fail, RUN_CANNOT_START, RUN_FAILED, RUN_NOT_FOUND, RUN_SIGNALLED, chain, tell, warn},
    key::NoKey,
    outputs::{Wanted, place},
    place as places,
    signals::Hold,
    tier::Lazy,
};
use plugcache::{Artifact, Build, BuildError, Got, How, Mode, Output, Sources, Store};
use std::{
    env,
    fs::File,
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

/// The names under which `--capture` stores the streams: no file has such a name.
const STREAMS: [&str; 2] = ["stdout/", "stderr/"];

/// The command ran and is not stored: what to end with, and why, if that is not its own doing.
struct Ran {
    code: u8,
    why: Option<String>,
}

impl Ran {
    fn but(why: impl Into<String>) -> Ran {
        Ran { code: 0, why: Some(why.into()) }
    }
}

pub(crate) fn run(args: &RunArgs, store: Option<&Path>) -> u8 {
    Run { args, wanted: args.outputs.iter().map(|name| Wanted::new(name)).collect() }.code(store)
}

struct Run<'a> {
    args: &'a RunArgs,
    wanted: Vec<Wanted>,
}

impl Run<'_> {
    fn code(mut self, flag: Option<&Path>) -> u8 {
        if self.args.no_store || env::var_os("PLUGCACHE_DISABLE").is_some_and(|value| value == "1") {
            self.say("not looked for: the store is off");
            return if self.args.require_hit {
                self.failed("a hit was required, and the store is off")
            } else {
                self.plain()
            };
        }
        let (store, tier) = match self.open(flag) {
            Ok(opened) => opened,
            Err(why) => return self.without(&format!("the store cannot be used: {why}")),
        };
        if let Some(special) = self.wanted.iter().find(|wanted| wanted.is_special()) {
            let why = format!("not looked for: {} is no regular file", special.name.display());
            return self.without(&why);
        }
        let sources = match self.args.key.sources(&store, &self.args.command, &self.args.outputs) {
            Ok(sources) => sources,
            // It cannot be started either, which says so.
            Err(NoKey::NoCommand) if !self.args.require_hit => return self.plain(),
            Err(no) => return self.failed(&Fail::from(no).into_text()),
        };
        self.look_up(store, &tier, &sources)
    }

    fn open(&self, flag: Option<&Path>) -> Result<(Store, Lazy), String> {
        let config = places::config(flag).map_err(Fail::into_text)?;
        let config = config.exec(self.args.key.exec()).mode(self.mode()).build();
        let tier = Lazy::of(&config, self.args.verbose);
        Ok((places::open_or_why(config.to_builder(), Some(&tier))?, tier))
    }

    fn mode(&self) -> Mode {
        match (self.args.refresh, self.args.require_hit) {
            (true, _) => Mode::Refresh,
            (_, true) => Mode::RequireHit,
            _ => Mode::Normal,
        }
    }

    fn look_up(&mut self, store: Store, tier: &Lazy, sources: &Sources) -> u8 {
        let got = store.get_or_build(sources, |build| self.build(build));
        // One hit would not be worth writing down to a handle that is only dropped.
        store.close();
        let got = match got {
            Ok(got) if matches!(got.how, How::Hit | How::Waited | How::Fetched) => match self
                .lacking(&got.artifact)
            {
                None => return self.hit(&got),
                Some(lacking) if self.args.require_hit => {
                    return self.failed(&format!("a hit was required, and what is stored lacks {lacking}"));
                }
                Some(lacking) => {
                    self.say(&format!("miss: what is stored lacks {lacking}"));
                    let anew = store.config().to_builder().mode(Mode::Refresh);
                    match places::open_or_why(anew, Some(tier)) {
                        Ok(store) => store.get_or_build(sources, |build| self.build(build)),
                        Err(why) => return self.without(&format!("the store cannot be used: {why}")),
                    }
                }
            },
            Err(BuildError::RequiredHit(mut why)) => {
                why.tier = why.tier.filter(|_| tier.is_there());
                Err(BuildError::RequiredHit(why))
            }
            got => got,
        };
        self.ended(got)
    }

    fn ended(&mut self, got: Result<Got, BuildError<Ran>>) -> u8 {
        match got {
            Ok(Got { how: How::Uncached(why), .. }) => {
                warn(format!("not stored: {why}"));
                0
            }
            Ok(got) => {
                self.say(&format!("{}, and stored", got.how));
                0
            }
            Err(BuildError::Build(Ran { code, why })) => {
                why.into_iter().for_each(|why| warn(format!("not stored: {why}")));
                code
            }
            Err(BuildError::NoOutput(problem)) => {
                warn(format!("not stored: {}", chain(&problem)));
                0
            }
            Err(BuildError::RequiredHit(why)) => self.failed(&format!("a hit was required: {why}")),
            Err(BuildError::NoScratch(error)) => self.without(&format!("no directory to build in: {error}")),
            Err(BuildError::Recursive(_)) | Err(_) => self.without("the store cannot be used"),
        }
    }

    /// What this call wants and the entry does not have.
    fn lacking(&self, artifact: &Artifact) -> Option<String> {
        let streams = STREAMS.iter().filter(|_| self.args.capture).map(Path::new);
        let names = self.wanted.iter().map(|wanted| wanted.name.as_path()).chain(streams);
        let mut lacking = names.filter(|name| artifact.output(name).is_none());
        lacking.next().map(|name| name.display().to_string())
    }

    fn hit(&mut self, got: &Got) -> u8 {
        let saved = crate::out::human::span(got.artifact.cost());
        match self.place(&got.artifact) {
            Ok(()) => {
                self.say(&format!("{}: {saved} saved", got.how));
                0
            }
            Err(fail) => self.without(&fail.into_text()),
        }
    }

    fn place(&self, artifact: &Artifact) -> Result<(), Fail> {
        let hold = Hold::new();
        for wanted in &self.wanted {
            let number = artifact.outputs().position(|output| output.name() == wanted.name.as_os_str());
            place(artifact, number.unwrap_or(usize::MAX), &wanted.path, &hold)?;
        }
        if self.args.capture {
            // Read before anything is printed: a damaged one still lets the command run.
            let read = |name: &&str| artifact.output(name).map(|output: Output<'_>| output.read());
            let texts: Vec<_> = STREAMS
                .iter()
                .filter_map(read)
                .collect::<Result<_, _>>()
                .map_err(|error| Fail::of(&error))?;
            for (number, text) in texts.iter().enumerate() {
                // Who does not listen to the command would not listen to it now.
                let _ = own_stream(number).write_all(text);
            }
        }
        Ok(())
    }

    /// A hit cannot be had, for this reason: the command runs.
    fn without(&mut self, why: &str) -> u8 {
        if self.args.require_hit {
            return self.failed(why);
        }
        warn(why);
        self.plain()
    }

    fn failed(&self, why: &str) -> u8 {
        tell(why);
        RUN_FAILED
    }

    fn say(&self, what: &str) {
        if self.args.verbose {
            tell(what);
        }
    }

    /// Runs the command, and nothing else.
    fn plain(&self) -> u8 {
        let hold = Hold::new();
        let code = match self.command().spawn() {
            Ok(mut child) => code_of(&hold, &mut child),
            Err(error) => self.not_started(&error),
        };
        hold.forgive();
        code
    }

    fn command(&self) -> Command {
        let mut words = self.args.command.iter();
        let mut command = Command::new(words.next().map_or("".as_ref(), |program| program.as_os_str()));
        command.args(words);
        command
    }

    fn not_started(&self, error: &io::Error) -> u8 {
        tell(format!("{}: {error}", self.args.command[0].display()));
        if error.kind() == io::ErrorKind::NotFound { RUN_NOT_FOUND } else { RUN_CANNOT_START }
    }

    /// Runs the command, and tells the store what it made.
    fn build(&mut self, build: &mut Build) -> Result<(), Ran> {
        self.say("miss: the command runs");
        self.wanted.iter_mut().for_each(Wanted::look);
        let hold = Hold::new();
        let (code, whole) =
            if self.args.capture { self.captured(build, &hold) } else { (self.started(&hold), true) };
        hold.forgive();
        match code {
            0 if !whole => Err(Ran::but("what it printed could not be kept")),
            0 => self.report(build),
            code => Err(Ran { code, why: None }),
        }
    }

    fn started(&self, hold: &Hold) -> u8 {
        match self.command().spawn() {
            Ok(mut child) => code_of(hold, &mut child),
            Err(error) => self.not_started(&error),
        }
    }

    fn report(&self, build: &mut Build) -> Result<(), Ran> {
        for wanted in &self.wanted {
            if let Some(problem) = wanted.problem() {
                return Err(Ran::but(format!("{} {problem}", wanted.name.display())));
            }
            build.output_at(&wanted.name, &wanted.path);
        }
        if let Some(depfile) = &self.args.depfile {
            let unread =
                |error| Ran::but(format!("the depfile {} cannot be read: {error}", depfile.display()));
            build.depfile(depfile).map_err(unread)?;
        }
        Ok(())
    }

    /// Runs the command with both streams going where they would, and to the outputs of the build; whether all of it
    /// arrived at both.
    fn captured(&self, build: &mut Build, hold: &Hold) -> (u8, bool) {
        // The first output declared is the primary one, which shall be a file of the caller's.
        self.wanted.iter().for_each(|wanted| build.output_at(&wanted.name, &wanted.path));
        let [out_copy, err_copy] = STREAMS.map(|name| File::create(build.output(name)));
        let mut child = match self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => return (self.not_started(&error), false),
        };
        let (out, err) = (child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            let out = scope.spawn(|| out.is_some_and(|from| tee(from, 0, out_copy)));
            let err = scope.spawn(|| err.is_some_and(|from| tee(from, 1, err_copy)));
            let code = code_of(hold, &mut child);
            (code, out.join().unwrap_or(false) & err.join().unwrap_or(false))
        })
    }
}

fn own_stream(number: usize) -> Box<dyn Write> {
    if number == 0 { Box::new(io::stdout()) } else { Box::new(io::stderr()) }
}

/// Passes a stream on as it comes. Whether all of it arrived, there and in the copy.
fn tee(mut from: impl Read, number: usize, mut copy: io::Result<File>) -> bool {
    let mut chunk = [0; 16 * 1024];
    let mut to = own_stream(number);
    loop {
        let got = match from.read(&mut chunk) {
            Ok(0) => return copy.is_ok(),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return false,
        };
        if let Ok(file) = &mut copy
            && let Err(error) = file.write_all(&chunk[..got])
        {
            copy = Err(error);
        }
        if to.write_all(&chunk[..got]).and_then(|()| to.flush()).is_err() {
            // The command shall learn that nobody reads, as it would without plugcache.
            return false;
        }
    }
}

fn code_of(hold: &Hold, child: &mut Child) -> u8 {
    match hold.wait(child) {
        Ok(status) => status.signal().map_or_else(
            || u8::try_from(status.code().unwrap_or(1)).unwrap_or(1),
            |signal| RUN_SIGNALLED.saturating_add(u8::try_from(signal).unwrap_or(0)),
        ),
        Err(error) => {
            tell(format!("the command cannot be waited for: {error}"));
            RUN_FAILED
        }
    }
}
