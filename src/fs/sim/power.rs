//! What a power cut may leave: every legal survival of what was un-synced, one by one or drawn at random.
//!
//! Each un-synced name, and each file with un-synced changes, is a [`Question`] that a cut answers by itself.
//! A name takes any of the meanings it had since its directory was synced: a rename is two such names, so it
//! can survive as both or neither (a directory never as both: its second name is dropped). A file answers
//! with one of the [`Outcome`]s. Inode numbers stay, `ctime` stays, boot id and clock move on.
//!
//! Not modelled: bytes that turn into other than zeros or older ones, and damage to what was synced.

use super::{
    disk::Disk,
    inode::{Body, DirBody, Index, Name},
    outcome::{Outcome, outcomes},
    random::Random,
    volume::Volume,
};
use std::{
    collections::{HashSet, hash_map::DefaultHasher},
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Of how many answers a full product may consist, per state asked for, before it is sampled instead: most
/// combinations of names that lead nowhere are equal, so a product holds fewer states than it looks.
const PRODUCT_FACTOR: usize = 16;

/// Draws without a new state after which sampling gives up.
const BARREN_MAX: usize = 2000;

/// One thing that a power cut decides.
#[derive(Clone, Debug)]
enum Question {
    /// What it led to when the directory was synced, and everything it has led to since.
    Name {
        dir: Index,
        name: Name,
        answers: Vec<Option<Index>>,
        live: usize,
    },
    File {
        index: Index,
        answers: Vec<Outcome>,
    },
}

impl Question {
    fn len(&self) -> usize {
        match self {
            Question::Name { answers, .. } => answers.len(),
            Question::File { answers, .. } => answers.len(),
        }
    }

    fn inode(&self) -> Index {
        match self {
            Question::Name { dir, .. } => *dir,
            Question::File { index, .. } => *index,
        }
    }

    /// The position of the answer that a standard cut gives.
    fn position(&self, standard: Standard) -> usize {
        match (self, standard) {
            (_, Standard::Nothing) => 0,
            (Question::Name { live, .. }, _) => *live,
            (Question::File { answers, .. }, standard) => {
                answers.iter().position(|outcome| outcome.is(standard)).unwrap_or(0)
            }
        }
    }
}

/// The cuts that are always among the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standard {
    /// Nothing un-synced survives.
    Nothing,
    /// Everything does.
    Everything,
    /// Names do, and of files what is no byte: mode and times, at the old length.
    Names,
    /// Names and lengths do; the bytes are zeros.
    Lengths,
}

/// One answer to each question, by position.
type Answers = Vec<usize>;

/// A disk before a cut, and what the cut decides.
#[derive(Debug)]
struct Base {
    volume: Volume,
    /// The same without anything un-synced.
    bare: Volume,
    questions: Vec<Question>,
}

/// Where a disk comes from that has gone through a cut.
pub(super) struct Origin {
    base: Arc<Base>,
    answers: Answers,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("power cut")?;
        for (question, answer) in self.base.questions.iter().zip(&self.answers) {
            match question {
                Question::Name { dir, name, answers, .. } => {
                    let dir = self.base.volume.path_of(*dir).unwrap_or_else(|_| "(removed)".into());
                    let path = dir.join(&**name);
                    let is = if answers[*answer].is_some() { "is there" } else { "is not there" };
                    write!(f, "\n  name {} {is} ({} of {})", path.display(), answer + 1, answers.len())?;
                }
                Question::File { index, answers } => {
                    let path = self.base.volume.any_path_of(*index);
                    write!(f, "\n  file {}: {}", path.display(), answers[*answer])?;
                }
            }
        }
        Ok(())
    }
}

/// The disks that a power cut may leave, all different from each other.
///
/// First come the standard ones (nothing, everything, names without bytes, names and lengths without bytes,
/// each file alone), then those that differ from a standard one in one answer, then all the rest; if these
/// are too many for the bound, random ones of them.
pub struct PowerCuts {
    base: Arc<Base>,
    listed: Box<dyn Iterator<Item = Answers> + Send>,
    /// Where the combinations are too many to be listed: draws after the end of the list.
    drawn: Option<Random>,
    seen: HashSet<u64>,
    bound: usize,
    barren: usize,
}

impl fmt::Debug for PowerCuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PowerCuts({} of {})", self.seen.len(), self.bound)
    }
}

impl PowerCuts {
    /// Whether, once the iterator has ended, it has given every legal survival.
    pub fn is_exhaustive(&self) -> bool {
        self.drawn.is_none() && self.seen.len() < self.bound
    }
}

impl Iterator for PowerCuts {
    type Item = Disk;

    fn next(&mut self) -> Option<Disk> {
        while self.seen.len() < self.bound && self.barren < BARREN_MAX {
            let listed = self.listed.next();
            let is_drawn = listed.is_none();
            let answers = listed.or_else(|| Some(self.base.draw(self.drawn.as_mut()?)))?;
            let (volume, key) = self.base.cut(&answers);
            if self.seen.insert(key) {
                self.barren = 0;
                let origin = Origin { base: self.base.clone(), answers };
                return Some(Disk::of(volume, Some(Arc::new(origin))));
            }
            self.barren += usize::from(is_drawn);
        }
        None
    }
}

impl Disk {
    /// Cuts the power now, in at most `bound` ways. Processes on this disk are not touched: look at the disk
    /// of [`super::Process::last_disk`], or at one that [`Disk::record`] kept.
    pub fn power_cuts(&self, bound: usize) -> PowerCuts {
        let base = Arc::new(Base::new(self.lock().volume.clone()));
        let listed = base.clone().standard_first();
        let product = base.product(bound.saturating_mul(PRODUCT_FACTOR));
        let all = base.clone();
        let listed = Box::new(listed.chain((0..product.unwrap_or(0)).map(move |n| all.nth(n))));
        let drawn = product.is_none().then(|| Random::new(0));
        PowerCuts { base, listed, drawn, seen: HashSet::new(), bound, barren: 0 }
    }

    /// Cuts the power now, in a way that the seed decides.
    pub fn power_cut(&self, seed: u64) -> Disk {
        let base = Arc::new(Base::new(self.lock().volume.clone()));
        let answers = base.draw(&mut Random::new(seed));
        let (volume, _) = base.cut(&answers);
        Disk::of(volume, Some(Arc::new(Origin { base, answers })))
    }
}

impl Base {
    fn new(volume: Volume) -> Base {
        let mut bare = volume.clone();
        let mut questions = Vec::new();
        for index in volume.dirty(None) {
            bare.rewind(index);
            let Some(inode) = volume.get(index) else { continue };
            match &inode.body {
                Body::Dir(dir) => questions.extend(names(index, dir)),
                _ => questions.push(Question::File { index, answers: outcomes(inode) }),
            }
        }
        questions.retain(|question| question.len() > 1);
        Base { volume, bare, questions }
    }

    /// What the answers leave, and a key that is equal for equal states.
    fn cut(&self, answers: &[usize]) -> (Volume, u64) {
        let mut volume = self.bare.clone();
        for (question, answer) in self.questions.iter().zip(answers).filter(|(_, answer)| **answer > 0) {
            match question {
                Question::Name { dir, name, answers, .. } => volume.leave_name(*dir, name, answers[*answer]),
                Question::File { index, answers } => volume.leave_file(*index, &answers[*answer]),
            }
        }
        let reached = volume.keep_reachable();
        volume.reboot();
        let mut hasher = DefaultHasher::new();
        let is_there = |index: Index| reached.get(index).is_some_and(|names| *names > 0);
        for (number, (question, answer)) in self.questions.iter().zip(answers).enumerate() {
            match question {
                _ if !is_there(question.inode()) => {}
                // Not the answer itself: the second name of a directory has been dropped.
                Question::Name { dir, name, .. } => {
                    (number, volume.lookup(*dir, name).ok().flatten()).hash(&mut hasher);
                }
                Question::File { .. } => (number, answer).hash(&mut hasher),
            }
        }
        (volume, hasher.finish())
    }

    fn standard(&self, standard: Standard) -> Answers {
        self.questions.iter().map(|question| question.position(standard)).collect()
    }

    /// The standard cuts, and then those that differ from one of them in one answer.
    fn standard_first(self: Arc<Base>) -> impl Iterator<Item = Answers> + Send {
        use Standard::{Everything, Lengths, Names, Nothing};
        let standards = [Nothing, Everything, Names, Lengths].map(|standard| self.standard(standard));
        let mut first = standards.to_vec();
        for (number, question) in self.questions.iter().enumerate() {
            if let Question::File { index, .. } = question {
                first.extend(self.only(number, *index, &standards));
            }
        }
        let deviations = standards.into_iter().flat_map(move |from| self.clone().deviations(from));
        first.into_iter().chain(deviations)
    }

    /// How many combinations there are, unless they are more than `max`.
    fn product(&self, max: usize) -> Option<usize> {
        self.questions.iter().try_fold(1_usize, |product, question| {
            product.checked_mul(question.len()).filter(|product| *product <= max)
        })
    }

    /// File `index` (question `number`) survives whole: alone with its names; with all names, the other
    /// files without bytes; with all names, the other files as zeros.
    fn only(
        &self,
        number: usize,
        index: Index,
        [nothing, everything, names, lengths]: &[Answers; 4],
    ) -> Vec<Answers> {
        let mut alone = nothing.clone();
        for (answer, question) in alone.iter_mut().zip(&self.questions) {
            if let Question::Name { answers, .. } = question {
                let leads_here = answers.iter().rposition(|to| *to == Some(index));
                *answer = leads_here.unwrap_or(*answer);
            }
        }
        let mut all = vec![alone, names.clone(), lengths.clone()];
        for answers in &mut all {
            answers[number] = everything[number];
        }
        all
    }

    /// All answers that differ from these in one place.
    fn deviations(self: Arc<Base>, from: Answers) -> impl Iterator<Item = Answers> + Send {
        (0..self.questions.len()).flat_map(move |number| {
            let from = from.clone();
            let others = (0..self.questions[number].len()).filter({
                let here = from[number];
                move |answer| *answer != here
            });
            others.map(move |answer| {
                let mut answers = from.clone();
                answers[number] = answer;
                answers
            })
        })
    }

    /// The n-th of all combinations.
    fn nth(&self, n: usize) -> Answers {
        let mut rest = n;
        let digit = |question: &Question| {
            let digit = rest % question.len();
            rest /= question.len();
            digit
        };
        self.questions.iter().map(digit).collect()
    }

    /// A random combination: in a third of the cuts most of everything survives, in a third little does.
    fn draw(&self, random: &mut Random) -> Answers {
        let mood = random.below(3);
        let answer = |question: &Question| match (mood, random.below(4)) {
            (0, 1..) => question.position(Standard::Everything),
            (1, 1..) => 0,
            _ => random.below(question.len()),
        };
        self.questions.iter().map(answer).collect()
    }
}

/// The questions about the names of a directory.
fn names(index: Index, dir: &DirBody) -> Vec<Question> {
    let mut names: Vec<&Name> = dir.pending.iter().map(|change| &change.name).collect();
    names.sort_unstable();
    names.dedup();
    let question = |name: &Name| {
        let mut answers = vec![dir.durable.get(name).copied()];
        for change in dir.pending.iter().filter(|change| change.name == *name) {
            if !answers.contains(&change.to) {
                answers.push(change.to);
            }
        }
        let now = dir.live.get(name).copied();
        let live = answers.iter().position(|to| *to == now).unwrap_or(0);
        Question::Name { dir: index, name: name.clone(), answers, live }
    };
    names.into_iter().map(question).collect()
}
