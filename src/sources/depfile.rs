//! Inputs that a build found out by itself: included headers, as the compiler's depfile lists them.
//!
//! For the store: [`parse_depfile`] when a build hands its depfile over. A depfile is raw bytes; nothing here assumes UTF-8 or panics on any of them.
//!
//! # What of make's syntax is understood
//!
//! What `cc -MD`, `clang -MD` and `rustc --emit dep-info` write, and ninja reads:
//! * Rules `targets: inputs`, each up to the end of its line; a backslash before the end of a line joins the
//!   next one. Rules without inputs (`-MP`) and the rule of `.PHONY` add nothing.
//! * Names end at a space or tab. Before one, 2N+1 backslashes mean N backslashes and the space itself; 2N
//!   mean N backslashes at the end of the name. `\#` is `#` and `$$` is `$`. `\:` is `:`, unless that colon ends
//!   the targets. Every other backslash is itself.
//! * A colon ends the targets only before a space, a tab or the end of a line: `C:/x.o: C:/x.c` has one target.
//! * `#` starts a comment. Everything else (variables, recipes, assignments) is an error: no compiler writes it.
//!
//! Not expressible in such a file, and so not found in one: names with a newline in them. GCC also leaves a
//! backslash at the very end of a name undoubled, which reads as an escaped space.

use super::error::DepfileError;
use std::collections::HashSet;

/// A depfile of a large C++ file has some hundred KiB; a hundred times that is not a depfile.
const DEPFILE_BYTES_MAX: usize = 16 << 20;

/// The inputs that a depfile lists, each once, in the order of their first mention.
pub(crate) fn parse_depfile(bytes: &[u8]) -> Result<Vec<Vec<u8>>, DepfileError> {
    if bytes.len() > DEPFILE_BYTES_MAX {
        return Err(DepfileError::TooLong { bytes: bytes.len(), bytes_max: DEPFILE_BYTES_MAX });
    }
    let mut scanner = Scanner { bytes, at: 0, is_continued: false };
    let (mut inputs, mut seen, mut rules) = (Vec::new(), HashSet::new(), 0_usize);
    while let Some(is_phony) = scanner.targets()? {
        rules += 1;
        while let Token::Name(name) = scanner.next(Side::Inputs)? {
            if !is_phony && seen.insert(name.clone()) {
                inputs.push(name);
            }
        }
    }
    if rules == 0 { Err(DepfileError::NoRule) } else { Ok(inputs) }
}

enum Token {
    Name(Vec<u8>),
    Colon,
    LineEnd,
    End,
}

/// Which side of a rule's colon a name stands on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Targets,
    Inputs,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether the line before was joined to what follows.
    is_continued: bool,
}

impl Scanner<'_> {
    /// Reads up to the colon of the next rule. `Some(true)` if it is the rule of `.PHONY`, `None` at the end.
    fn targets(&mut self) -> Result<Option<bool>, DepfileError> {
        let (mut count, mut is_phony) = (0_usize, false);
        loop {
            match self.next(Side::Targets)? {
                Token::Name(name) => {
                    is_phony |= name == b".PHONY";
                    count += 1;
                }
                Token::Colon if count == 0 => return Err(DepfileError::NoTarget { offset: self.at }),
                Token::Colon => return Ok(Some(is_phony)),
                Token::LineEnd | Token::End if count > 0 => {
                    return Err(DepfileError::NoColon { offset: self.at });
                }
                Token::LineEnd => (),
                Token::End => return Ok(None),
            }
        }
    }

    fn next(&mut self, side: Side) -> Result<Token, DepfileError> {
        self.skip_blanks();
        if let Some(len) = self.line_end_at(self.at) {
            self.at += len;
            return Ok(Token::LineEnd);
        }
        match self.peek(0) {
            None if self.is_continued => Err(DepfileError::BreaksOff { offset: self.at }),
            None => Ok(Token::End),
            Some(b':') if side == Side::Targets && self.is_separator(self.at) => {
                self.at += 1;
                Ok(Token::Colon)
            }
            Some(_) => self.name(side).map(Token::Name),
        }
    }

    /// Skips spaces, tabs, joined line ends, and a comment up to the end of its line.
    fn skip_blanks(&mut self) {
        self.is_continued = false;
        let mut is_comment = false;
        while let Some(byte) = self.peek(0) {
            if let Some(len) = self.joined_line_end_at(self.at) {
                self.at += len;
                self.is_continued = true;
            } else if matches!(byte, b' ' | b'\t') || (is_comment && self.line_end_at(self.at).is_none()) {
                self.at += 1;
            } else if byte == b'#' {
                is_comment = true;
            } else {
                return;
            }
        }
    }

    /// Reads a name of at least one byte.
    fn name(&mut self, side: Side) -> Result<Vec<u8>, DepfileError> {
        let mut name = Vec::new();
        while let Some(byte) = self.peek(0) {
            let ends = match byte {
                b' ' | b'\t' | b'#' => true,
                b':' => side == Side::Targets && self.is_separator(self.at),
                _ => self.line_end_at(self.at).is_some(),
            };
            match byte {
                _ if ends => break,
                b'\\' if !self.backslashes(side, &mut name) => break,
                b'\\' => continue,
                b'$' if self.peek(1) != Some(b'$') => return Err(DepfileError::Variable { offset: self.at }),
                b'$' => self.at += 1,
                0 => return Err(DepfileError::Zero { offset: self.at }),
                _ => (),
            }
            name.push(byte);
            self.at += 1;
        }
        Ok(name)
    }

    /// Reads a run of backslashes and what it escapes. `false` if the name ends behind it.
    fn backslashes(&mut self, side: Side, name: &mut Vec<u8>) -> bool {
        let count = self.bytes[self.at..].iter().take_while(|byte| **byte == b'\\').count();
        let behind = self.at + count;
        let next = self.bytes.get(behind).copied();
        if self.line_end_at(behind).is_some() {
            // The last one joins the lines and is left to `skip_blanks`.
            name.resize(name.len() + count - 1, b'\\');
            self.at = behind - 1;
            return false;
        }
        let (kept, escaped) = match next {
            Some(b' ' | b'\t') => (count / 2, count % 2 == 1),
            Some(b'#') => (count - 1, true),
            Some(b':') if side == Side::Inputs || !self.is_separator(behind) => (count - 1, true),
            _ => (count, false),
        };
        name.resize(name.len() + kept, b'\\');
        self.at = behind;
        if escaped {
            name.extend(next);
            self.at += 1;
        }
        true
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    /// Length of the line end at `at`, if there is one.
    fn line_end_at(&self, at: usize) -> Option<usize> {
        match self.bytes.get(at..)? {
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            _ => None,
        }
    }

    /// Length of a backslash with the line end that it joins.
    fn joined_line_end_at(&self, at: usize) -> Option<usize> {
        (self.bytes.get(at) == Some(&b'\\')).then(|| self.line_end_at(at + 1)).flatten().map(|len| len + 1)
    }

    /// Whether the colon at `at` ends the targets of a rule.
    fn is_separator(&self, at: usize) -> bool {
        matches!(self.bytes.get(at + 1), None | Some(b' ' | b'\t'))
            || self.line_end_at(at + 1).is_some()
            || self.joined_line_end_at(at + 1).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(depfile: impl AsRef<[u8]>, expected: Result<&[&[u8]], DepfileError>) {
        let depfile = depfile.as_ref();
        let expected = expected.map(|names| names.iter().map(|name| name.to_vec()).collect::<Vec<_>>());
        assert_eq!(parse_depfile(depfile), expected, "{}", depfile.escape_ascii());
    }

    #[test]
    fn the_depfiles_of_compilers_are_understood() {
        // What GCC 12 wrote for names that need escapes, with -MP.
        let gcc = b"m:1\\ x.o: m.c /usr/include/stdc-predef.h %x.h a\\ b.h c\\#d.h e$$f.h g:h.h \\\n i\\j.h \
            k\\\\\\ l.h m\\\\#n.h t\\\tab.h \xff.h\n/usr/include/stdc-predef.h:\n%x.h:\na\\ b.h:\nc\\#d.h:\n\
            e$$f.h:\ng:h.h:\ni\\j.h:\nk\\\\\\ l.h:\nm\\\\#n.h:\no\\:\nt\\\tab.h:\n\xff.h:\n";
        check(
            gcc,
            Ok(&[
                b"m.c",
                b"/usr/include/stdc-predef.h",
                b"%x.h",
                b"a b.h",
                b"c#d.h",
                b"e$f.h",
                b"g:h.h",
                b"i\\j.h",
                b"k\\ l.h",
                b"m\\#n.h",
                b"t\tab.h",
                b"\xff.h",
            ]),
        );
        // rustc: several rules, a blank line between them, and comments.
        check(
            "p.d: src/main.rs\n\np: src/main.rs src/a\\ b.rs\n\nsrc/main.rs:\n\n# env-dep:CARGO=x\n",
            Ok(&[b"src/main.rs", b"src/a b.rs"]),
        );
        // Windows, with both slashes and both line ends.
        check("C:\\x\\p.o: C:\\x\\p.c \\\r\n  C:/inc/q.h\r\n", Ok(&[b"C:\\x\\p.c", b"C:/inc/q.h"]));
        check("C\\:/p.o : C\\:/p.c\n", Ok(&[b"C:/p.c"]));
    }

    #[test]
    fn several_targets_share_their_inputs_and_no_target_is_an_input() {
        check("a.o b.o \\\n c.o: x.c y.h\n", Ok(&[b"x.c", b"y.h"]));
        check("a.o: x.c y.h\nb.o: y.h z.c\n", Ok(&[b"x.c", b"y.h", b"z.c"]));
        check("a.o:\\\n\tx.c\\\n\ty.h\n", Ok(&[b"x.c", b"y.h"]));
        check("a.o: x.c\n.PHONY: clean\n", Ok(&[b"x.c"]));
        check("a.o:\n", Ok(&[]));
        check("a.o: x.c", Ok(&[b"x.c"]));
    }

    #[test]
    fn backslashes_mean_what_make_says() {
        for (text, name) in [
            (r"a\ b", &b"a b"[..]),
            (r"a\\\ b", br"a\ b"),
            (r"a\b", br"a\b"),
            (r"a\\b", br"a\\b"),
            (r"\#", b"#"),
            (r"\\#", br"\#"),
            (r"a\:b", b"a:b"),
            ("$$", b"$"),
            ("$$$$x", b"$$x"),
            (r"\", br"\"),
        ] {
            check(format!("t: {text}"), Ok(&[name]));
        }
        check("t: a\\\\ b\n", Ok(&[b"a\\", b"b"]));
        check("t: a\\\\\n", Err(DepfileError::BreaksOff { offset: 7 }));
        check("t: a\\\\\\\nb\n", Ok(&[br"a\\", b"b"]));
        check("t: a#b \\\n c\nd: e\n", Ok(&[b"a", b"e"]));
    }

    #[test]
    fn bad_syntax_is_an_error_at_its_byte() {
        check("", Err(DepfileError::NoRule));
        check("# nothing\n \n", Err(DepfileError::NoRule));
        check("a.o x.c\n", Err(DepfileError::NoColon { offset: 8 }));
        check("a.o: x.c\n\tcc x.c", Err(DepfileError::NoColon { offset: 16 }));
        check(": x.c\n", Err(DepfileError::NoTarget { offset: 1 }));
        check("a.o: $(SRC)\n", Err(DepfileError::Variable { offset: 5 }));
        check("a.o: x$", Err(DepfileError::Variable { offset: 6 }));
        check("a.o: x\0.c\n", Err(DepfileError::Zero { offset: 6 }));
        check("a.o: x.c \\\n", Err(DepfileError::BreaksOff { offset: 11 }));
        check("a.o: x.c \\\n  ", Err(DepfileError::BreaksOff { offset: 13 }));
        let long = vec![b' '; DEPFILE_BYTES_MAX + 1];
        let too_long = DepfileError::TooLong { bytes: long.len(), bytes_max: DEPFILE_BYTES_MAX };
        check(long, Err(too_long));
    }

    /// Writes a name as compilers do, where they agree with make.
    fn escape(name: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut backslashes = 0;
        for byte in name {
            match byte {
                // Those before it are doubled.
                b' ' | b'\t' => text.resize(text.len() + backslashes + 1, b'\\'),
                b'#' | b':' => text.push(b'\\'),
                b'$' => text.push(b'$'),
                _ => (),
            }
            backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
            text.push(*byte);
        }
        text.resize(text.len() + backslashes, b'\\');
        text
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            prop::sample::select(&b"\\\\\\ \t#:$%a|=\r"[..]),
            any::<u8>().prop_filter("no file name in a depfile holds these", |byte| !b"\0\n".contains(byte)),
        ];
        prop::collection::vec(byte, 1..12)
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_depfile(&bytes);
        }

        #[test]
        fn no_syntax_makes_it_panic(text in "[a:\\\\ \t#$\r\n]{0,40}") {
            let _ = parse_depfile(text.as_bytes());
            let _ = parse_depfile(format!("a: {text}").as_bytes());
        }

        #[test]
        fn names_that_were_escaped_read_back(
            target in name().prop_filter("such a colon ends the targets", |name| !name.ends_with(b":")),
            names in prop::collection::vec(name(), 0..6),
            joint in prop::sample::select(&[" ", "\t ", " \\\n ", " \\\r\n\t"][..]),
        ) {
            let mut text = [escape(&target), b" :".to_vec()].concat();
            for name in &names {
                text.extend([joint.as_bytes(), &escape(name)].concat());
            }
            text.extend(b" \n");
            let mut seen = HashSet::new();
            let unique: Vec<_> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
            prop_assert_eq!(parse_depfile(&text), Ok(unique), "{}", text.escape_ascii());
        }
    }
}
