//! What the rules need to know of one file, read from its tokens: comments and layout do not exist there,
//! and the insides of macros do.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// One file of `src/`. Lines count from 1. Doc comments, and modules under `#[cfg(test)]`, are left out.
pub(super) struct Scan<'a> {
    pub(super) path: &'a str,
    /// The first step below the crate root of every path that starts with `crate`, `self` or `super`.
    pub(super) imports: Vec<(usize, String)>,
    /// All identifiers and keywords.
    pub(super) words: Vec<(usize, String)>,
    /// What stands between the quotes of all literals.
    pub(super) texts: Vec<(usize, String)>,
    /// Modules under `#[cfg(test)]` that have a file of their own, as paths from the crate root.
    pub(super) test_modules: Vec<Vec<String>>,
}

impl<'a> Scan<'a> {
    pub(super) fn of(path: &'a str, text: &str) -> Scan<'a> {
        let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut scan = Scan { path, imports: vec![], words: vec![], texts: vec![], test_modules: vec![] };
        let module = scan.module_path();
        scan.walk(stream, &module);
        scan
    }

    /// The module that this file holds: `fs/os.rs` is fs::os, `fs/mod.rs` is fs, `lib.rs` is the root.
    pub(super) fn module_path(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        let path = if path == "lib" { "" } else { path.trim_end_matches("/mod") };
        path.split('/').filter(|step| !step.is_empty()).map(String::from).collect()
    }

    /// The module directly below the crate root that this file belongs to.
    pub(super) fn module(&self) -> &str {
        self.path.trim_end_matches(".rs").split('/').next().unwrap_or_default()
    }

    pub(super) fn is_in(&self, prefix: &str) -> bool {
        self.path.starts_with(prefix)
    }

    /// Reads what stands in the inline module `module`, or in the file of it.
    fn walk(&mut self, stream: TokenStream, module: &[String]) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            self.path_at(&tokens, at, module);
            at = match &tokens[at] {
                TokenTree::Punct(punct) if punct.as_char() == '#' => self.attribute(&tokens, at, module),
                TokenTree::Ident(word) if word == "mod" => self.inline_module(&tokens, at, module),
                token => {
                    self.token(token, module);
                    at + 1
                }
            };
        }
    }

    fn token(&mut self, token: &TokenTree, module: &[String]) {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => self.walk(group.stream(), module),
            TokenTree::Ident(word) => self.words.push((line, word.to_string())),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if let (Some(first), Some(last)) = (text.find('"'), text.rfind('"')) {
                    self.texts.push((line, text[first + 1..last.max(first + 1)].into()));
                }
            }
            TokenTree::Punct(_) => {}
        }
    }

    /// Steps over a doc comment, or over a whole module for tests; looks into any other attribute.
    fn attribute(&mut self, tokens: &[TokenTree], at: usize, module: &[String]) -> usize {
        let inner = matches!(tokens.get(at + 1), Some(TokenTree::Punct(punct)) if punct.as_char() == '!');
        let content = at + 1 + usize::from(inner);
        let Some(TokenTree::Group(group)) = tokens.get(content) else { return at + 1 };
        let text: String = group.stream().to_string().split_whitespace().collect();
        if text.starts_with("doc=") {
            return content + 1;
        }
        if text == "cfg(test)"
            && let Some(end) = self.test_module(tokens, content + 1, module)
        {
            return end;
        }
        content
    }

    /// The end of the module that follows, if one does: attributes and a visibility may come first.
    fn test_module(&mut self, tokens: &[TokenTree], mut at: usize, module: &[String]) -> Option<usize> {
        loop {
            match tokens.get(at)? {
                TokenTree::Punct(punct) if punct.as_char() == '#' => at += 2,
                TokenTree::Ident(word) if word == "pub" => at += 1,
                TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => at += 1,
                TokenTree::Ident(word) if word == "mod" => break,
                _ => return None,
            }
        }
        if matches!(tokens.get(at + 2)?, TokenTree::Punct(_)) {
            self.test_modules.push(below(module, &tokens[at + 1].to_string()));
        }
        Some(at + 3)
    }

    fn inline_module(&mut self, tokens: &[TokenTree], at: usize, module: &[String]) -> usize {
        match (tokens.get(at + 1), tokens.get(at + 2)) {
            (Some(TokenTree::Ident(name)), Some(TokenTree::Group(group))) => {
                self.walk(group.stream(), &below(module, &name.to_string()));
                at + 3
            }
            _ => at + 1,
        }
    }

    /// Reads the path that starts at `at`, if one does.
    fn path_at(&mut self, tokens: &[TokenTree], at: usize, module: &[String]) {
        // In the middle of a path these words are steps of it: they were read with its beginning.
        if (at >= 2 && is_colons(tokens, at - 2)) || !is_colons(tokens, at + 1) {
            return;
        }
        let base = match tokens[at].to_string().as_str() {
            "crate" => &[],
            "self" => module,
            "super" => parent(module),
            _ => return,
        };
        self.steps(&tokens[at + 3..], base);
    }

    /// Follows the steps of a path from `base`, into each branch of a tree of imports, until it is known
    /// which module directly below the root it leads to.
    fn steps(&mut self, tokens: &[TokenTree], base: &[String]) {
        let Some(token) = tokens.first() else { return };
        match token {
            TokenTree::Group(group) => {
                let tokens: Vec<_> = group.stream().into_iter().collect();
                for branch in tokens.split(|token| token.to_string() == ",") {
                    self.steps(branch, base);
                }
            }
            TokenTree::Ident(word) if word == "super" && is_colons(tokens, 1) => {
                self.steps(&tokens[3..], parent(base));
            }
            token => {
                let target = base.first().cloned().unwrap_or_else(|| token.to_string());
                self.imports.push((token.span().start().line, target));
            }
        }
    }
}

fn below(module: &[String], name: &str) -> Vec<String> {
    module.iter().cloned().chain([name.into()]).collect()
}

fn parent(module: &[String]) -> &[String] {
    module.split_last().map_or(&[], |(_, parent)| parent)
}

/// Whether `::` stands at `at`.
fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| match tokens.get(at) {
        Some(TokenTree::Punct(punct)) if punct.as_char() == ':' => Some(punct.spacing()),
        _ => None,
    };
    colon(at) == Some(Spacing::Joint) && colon(at + 1).is_some()
}

/// Whether a text names a file: a step of the path in it is `name`, or begins with it if `name` ends with a
/// dot and goes on as file names do.
pub(super) fn spells(text: &str, name: &str) -> bool {
    text.split('/').any(|step| match step.strip_prefix(name) {
        Some("") => true,
        Some(rest) => name.ends_with('.') && !rest.starts_with(char::is_whitespace),
        None => false,
    })
}
