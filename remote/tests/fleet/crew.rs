//! Processes of a fleet, seen by the test: started, told to go, killed, and what each said.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

/// Longer silence of all processes is a failure of the test.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// One plugin, as a host has come by it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) plugin: String,
    /// `hit`, `fetched`, `built`, `waited`, or why it was not stored.
    pub(crate) how: String,
    pub(crate) answer: u64,
    /// Of the bytes that were loaded.
    pub(crate) digest: String,
    /// All that was not the compiler.
    pub(crate) waited: Duration,
}

/// What a process has said so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) name: String,
    /// Plugins that it has begun to come by.
    pub(crate) began: usize,
    pub(crate) got: Vec<Got>,
    /// What its client of the bucket has counted, by name.
    pub(crate) counts: BTreeMap<String, u64>,
    /// Everything else.
    pub(crate) said: Vec<String>,
    pub(crate) ended: Option<ExitStatus>,
}

impl Report {
    pub(crate) fn count(&self, name: &str) -> u64 {
        *self.counts.get(name).unwrap_or_else(|| panic!("{} has not counted {name}", self.name))
    }

    pub(crate) fn how_many(&self, how: &str) -> usize {
        self.got.iter().filter(|got| got.how == how).count()
    }

    pub(crate) fn waited_max(&self) -> Duration {
        self.got.iter().map(|got| got.waited).max().unwrap_or_default()
    }

    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split('\t').collect();
        match words[..] {
            ["began", _] => self.began += 1,
            ["got", plugin, how, answer, digest, waited] => self.got.push(Got {
                plugin: plugin.into(),
                how: how.into(),
                answer: answer.parse().unwrap(),
                digest: digest.into(),
                waited: Duration::from_micros(waited.parse().unwrap()),
            }),
            ["count", name, count] => drop(self.counts.insert(name.into(), count.parse().unwrap())),
            _ => self.said.push(line.into()),
        }
    }
}

struct Member {
    child: Child,
    input: Option<ChildStdin>,
}

/// Several processes. Those that still run when this goes are killed.
pub(crate) struct Crew {
    members: Vec<Member>,
    pub(crate) reports: Vec<Report>,
    lines: Receiver<(usize, Option<String>)>,
    to: Sender<(usize, Option<String>)>,
}

impl Crew {
    pub(crate) fn new() -> Crew {
        let (to, lines) = channel();
        Crew { members: Vec::new(), reports: Vec::new(), lines, to }
    }

    /// Starts a process, which waits until it is told to go; its number.
    pub(crate) fn start(&mut self, name: &str, mut command: Command) -> usize {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (number, to) = (self.members.len(), self.to.clone());
        let said = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                // Nobody may be listening any more.
                let _ = to.send((number, Some(line)));
            }
            let _ = to.send((number, None));
        });
        let input = child.stdin.take();
        self.members.push(Member { child, input });
        self.reports.push(Report { name: name.into(), ..Report::default() });
        number
    }

    /// Tells one something.
    pub(crate) fn tell(&mut self, number: usize, what: &str) {
        let input = self.members[number].input.as_mut().unwrap();
        // One that has died is found out by its end.
        let _ = input.write_all(format!("{what}\n").as_bytes()).and_then(|()| input.flush());
    }

    /// Waits until all are up, and tells all of them to go at once.
    pub(crate) fn go(&mut self) {
        self.until(|reports| reports.iter().all(|report| is_up(report) || report.ended.is_some()));
        for number in 0..self.members.len() {
            self.tell(number, "go");
        }
    }

    /// Listens until `wanted`, or until all have ended.
    pub(crate) fn until(&mut self, wanted: impl Fn(&[Report]) -> bool) {
        while !wanted(&self.reports) && self.reports.iter().any(|report| report.ended.is_none()) {
            let heard = self.lines.recv_timeout(SILENCE_MAX);
            let (number, line) = heard.unwrap_or_else(|_| panic!("all are silent: {:?}", self.reports));
            match line {
                Some(line) => self.reports[number].hear(&line),
                None => self.reports[number].ended = Some(self.members[number].child.wait().unwrap()),
            }
        }
    }

    /// Kills one, wherever it is.
    pub(crate) fn kill(&mut self, number: usize) {
        // It may have ended by itself.
        let _ = self.members[number].child.kill();
    }

    /// Waits for the end of all.
    pub(crate) fn end(mut self) -> Vec<Report> {
        self.members.iter_mut().for_each(|member| drop(member.input.take()));
        self.until(|_| false);
        std::mem::take(&mut self.reports)
    }

    /// Starts, goes, ends: one alone.
    pub(crate) fn alone(name: &str, command: Command) -> Report {
        let mut crew = Crew::new();
        crew.start(name, command);
        crew.go();
        crew.end().remove(0)
    }
}

fn is_up(report: &Report) -> bool {
    report.said.iter().any(|line| line == "up")
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = (member.child.kill(), member.child.wait());
        }
    }
}
