//! From paths to inodes: below a directory without symlinks, or from `/` with them.

use super::{
    errno::{ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, errno, fail},
    inode::{Body, Index, Name},
    volume::{ROOT, SEARCH, Volume},
};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// Longest name, as Linux has it.
const NAME_BYTES_MAX: usize = 255;

/// Symlinks followed in one path, as Linux has it.
const SYMLINKS_MAX: usize = 40;

/// Where the last component of a path stands.
pub(super) struct Place {
    pub(super) dir: Index,
    pub(super) name: Name,
    pub(super) index: Option<Index>,
}

/// How far a path exists.
pub(super) struct Trail {
    /// Every step from `/` on, symlinks resolved.
    pub(super) found: Vec<(PathBuf, Index)>,
    /// The components that do not exist.
    pub(super) missing: Vec<OsString>,
}

impl Trail {
    /// The end of the path, if all of it exists.
    pub(super) fn end(&self, volume: &Volume) -> io::Result<Index> {
        match self.found.last() {
            Some((_, index)) if self.missing.is_empty() => Ok(*index),
            Some((_, index)) if volume.dir(*index).is_err() => fail(ENOTDIR),
            _ => fail(ENOENT),
        }
    }

    fn up(&mut self) {
        if self.found.len() > 1 {
            self.found.pop();
        }
    }
}

impl Volume {
    /// Finds a name below a directory. `..`, `.`, empty components and absolute paths are refused as `fs/os`
    /// refuses them; symlinks on the way are `ELOOP`. The last component may be missing or a symlink.
    pub(super) fn place(&self, dir: Index, rel: &Path, user: u32) -> io::Result<Place> {
        let mut names = plain(rel)?;
        if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
            return fail(ENAMETOOLONG);
        }
        let Some(last) = names.pop() else { return fail(ENOENT) };
        let mut dir = dir;
        for name in names {
            self.may(dir, user, SEARCH)?;
            dir = self.lookup(dir, name)?.ok_or_else(|| errno(ENOENT))?;
            match self.inode(dir)?.body {
                Body::Dir(_) => {}
                Body::Symlink(_) => return fail(ELOOP),
                Body::File(_) | Body::Fifo => return fail(ENOTDIR),
            }
        }
        self.may(dir, user, SEARCH)?;
        Ok(Place { dir, name: last.into(), index: self.lookup(dir, last)? })
    }

    /// What a relative path leads to; a symlink at its end is refused.
    pub(super) fn find(&self, dir: Index, rel: &Path, user: u32) -> io::Result<Index> {
        let index = self.place(dir, rel, user)?.index.ok_or_else(|| errno(ENOENT))?;
        match self.inode(index)?.body {
            Body::Symlink(_) => fail(ELOOP),
            _ => Ok(index),
        }
    }

    /// Follows a path from `/`, symlinks and `..` included, as far as it exists. A relative path starts at `/`
    /// too: simulated processes have no other working directory. What is missing keeps its `..`, which lead
    /// nowhere. A symlink to nothing, or through it, is `ENOENT`.
    pub(super) fn follow(&self, path: &Path, user: u32) -> io::Result<Trail> {
        let mut trail = Trail { found: vec![(PathBuf::from("/"), ROOT)], missing: Vec::new() };
        let mut todo: Vec<OsString> = pieces(path);
        let mut symlinks = 0;
        // While more pieces than this are to do, they come out of a symlink.
        let mut own = usize::MAX;
        while let Some(piece) = todo.pop() {
            if todo.len() < own {
                own = usize::MAX;
            }
            if !trail.missing.is_empty() {
                trail.missing.push(piece);
                continue;
            }
            match self.look(&trail, &piece, user)? {
                Look::Up => trail.up(),
                Look::Top => trail.found.truncate(1),
                Look::At(path, index) => trail.found.push((path, index)),
                Look::Nothing if own == usize::MAX => trail.missing.push(piece),
                Look::Nothing => return fail(ENOENT),
                Look::Symlink(_) if symlinks == SYMLINKS_MAX => return fail(ELOOP),
                Look::Symlink(target) => {
                    symlinks += 1;
                    own = own.min(todo.len());
                    todo.extend(pieces(&target));
                }
            }
        }
        Ok(trail)
    }

    /// What a path leads to that goes on where a directory lies now.
    pub(super) fn follow_behind(&self, dir: Index, rel: &Path, user: u32) -> io::Result<Index> {
        self.follow(&self.path_of(dir)?.join(rel), user)?.end(self)
    }

    /// What one piece of a path means at the end of a trail.
    fn look(&self, trail: &Trail, piece: &OsStr, user: u32) -> io::Result<Look> {
        if piece == "/" {
            return Ok(Look::Top);
        }
        if piece.len() > NAME_BYTES_MAX {
            return fail(ENAMETOOLONG);
        }
        let (path, at) = trail.found.last().ok_or_else(|| errno(ENOENT))?;
        if self.dir(*at).is_err() {
            return Ok(Look::Nothing);
        }
        if piece == ".." {
            return Ok(Look::Up);
        }
        self.may(*at, user, SEARCH)?;
        let Some(index) = self.lookup(*at, piece)? else { return Ok(Look::Nothing) };
        Ok(match &self.inode(index)?.body {
            Body::Symlink(target) => Look::Symlink(target.clone()),
            _ => Look::At(path.join(piece), index),
        })
    }

    /// Where a directory lies now.
    pub(super) fn path_of(&self, dir: Index) -> io::Result<PathBuf> {
        let mut names = Vec::new();
        let mut at = dir;
        while at != ROOT {
            let parent = self.dir(at)?.parent.ok_or_else(|| errno(ENOENT))?;
            let siblings = &self.dir(parent)?.live;
            let name = siblings.iter().find(|(_, index)| **index == at).ok_or_else(|| errno(ENOENT))?.0;
            names.push(name.clone());
            at = parent;
        }
        let mut path = PathBuf::from("/");
        path.extend(names.iter().rev().map(|name| Path::new(&**name)));
        Ok(path)
    }
}

impl Volume {
    /// One of the names of an inode, for messages.
    pub(super) fn any_path_of(&self, index: Index) -> PathBuf {
        let mut todo = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, dir)) = todo.pop() {
            let Ok(body) = self.dir(dir) else { continue };
            for (name, child) in body.live.iter() {
                if *child == index {
                    return path.join(&**name);
                }
                todo.push((path.join(&**name), *child));
            }
        }
        PathBuf::from("(no name)")
    }
}

/// What one piece of a path leads to.
enum Look {
    Top,
    Up,
    At(PathBuf, Index),
    Symlink(Arc<Path>),
    Nothing,
}

/// The names in a path that is plain: neither absolute nor with `.`, `..` or empty components.
pub(super) fn plain(rel: &Path) -> io::Result<Vec<&OsStr>> {
    let names = rel.as_os_str().as_bytes().split(|&byte| byte == b'/');
    let names: Vec<&OsStr> = names.map(OsStr::from_bytes).collect();
    if names.iter().any(|name| ["", ".", ".."].iter().any(|dots| name == dots)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain path below a directory"));
    }
    Ok(names)
}

/// The components of a path, last first, `/` and `..` among them.
fn pieces(path: &Path) -> Vec<OsString> {
    let keep = |component: &Component<'_>| !matches!(component, Component::CurDir);
    path.components().filter(keep).map(|component| component.as_os_str().to_owned()).rev().collect()
}
