//! Rules as files: those that come with weir, and those in folders of the operator's own.
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::causes::chain;
use crate::domain::http::rules::RuleFile;
use crate::pack;

/// Bytes of a file that are read.
const LONGEST: u64 = 1 << 20;
/// Files that are read.
const MOST: usize = 10_000;
/// How deep folders in folders are looked through.
const DEEPEST: usize = 8;

/// A file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name: of those that come with weir, below `rules/`; else its path.
    pub name: String,
    /// What is in it.
    pub text: Cow<'static, str>,
    /// Whether it comes with weir.
    pub shipped: bool,
}

/// A file or folder that was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// Files of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Those that were read, those that come with weir in front, each folder's in the order of their names.
    pub files: Vec<File>,
    /// Those that were not.
    pub unread: Vec<Unread>,
}

impl Files {
    /// The files that come with weir, if they are wanted, and every `*.yml` and `*.yaml` in these folders and the folders
    /// in them; of a path that is a file, that file.
    pub fn read(shipped: bool, folders: &[PathBuf]) -> Self {
        let mut read = Self::default();
        if shipped {
            let file = |file: RuleFile<'static>| File {
                name: file.name.to_owned(),
                text: Cow::Borrowed(file.text),
                shipped: true,
            };
            read.files.extend(pack::files().into_iter().map(file));
        }
        for folder in folders {
            if let Err(error) = read.path(folder, 0) {
                read.unread(folder, &error);
            }
        }
        read
    }

    /// As the domain takes them.
    pub fn as_rules<'a>(&'a self) -> Vec<RuleFile<'a>> {
        let rules = |file: &'a File| RuleFile { name: &file.name, text: &file.text, shipped: file.shipped };
        self.files.iter().map(rules).collect()
    }

    fn unread(&mut self, path: &Path, error: &io::Error) {
        if self.unread.len() < MOST {
            self.unread.push(Unread { path: path.to_owned(), why: chain(error) });
        }
    }

    fn path(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let kind = path.metadata()?;
        if kind.is_file() {
            return self.file(path);
        }
        if !kind.is_dir() {
            return Err(io::Error::other("it is neither a file nor a folder"));
        }
        if depth > DEEPEST {
            return Err(io::Error::other(format!("it lies more than {DEEPEST} folders deep")));
        }
        let mut paths: Vec<PathBuf> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.sort();
        for path in paths {
            let is_rule = path.extension().is_some_and(|end| end == OsStr::new("yml") || end == OsStr::new("yaml"));
            let result = match path.metadata() {
                Ok(kind) if kind.is_dir() && path.is_symlink() => {
                    Err(io::Error::other("links to folders are not followed"))
                }
                Ok(kind) if kind.is_dir() => self.path(&path, depth + 1),
                Ok(kind) if kind.is_file() && is_rule => self.file(&path),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                self.unread(&path, &error);
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> io::Result<()> {
        if self.files.len() >= MOST {
            return Err(io::Error::other(format!("there are more than {MOST} files of rules")));
        }
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LONGEST {
            return Err(io::Error::other(format!("it is longer than {LONGEST} bytes, the most of a file of rules")));
        }
        let text = String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.files.push(File { name: path.display().to_string(), text: Cow::Owned(text), shipped: false });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_looked_through_in_the_order_of_names() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("b.yml", b"b");
        put("a/c.yaml", b"c");
        put("a/notes.txt", b"no rule");
        put("long.yml", &vec![b'x'; (1 << 20) + 1]);
        put("bytes.yml", b"\xff");
        std::os::unix::fs::symlink("/nonexistent/x.yml", folder.path().join("gone.yml")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
        let read = Files::read(false, &[folder.path().join("b.yml"), folder.path().join("a"), "/nonexistent".into()]);
        let texts: Vec<&str> = read.files.iter().map(|file| &*file.text).collect();
        assert_eq!(texts, ["b", "c"]);
        assert_eq!(read.unread[0].path, Path::new("/nonexistent"));
        let all = Files::read(false, &[folder.path().to_owned()]);
        let has = |part: &str, why: &str| {
            let is = |unread: &Unread| unread.path.ends_with(part) && unread.why.contains(why);
            assert!(all.unread.iter().any(is), "{part}: {:?}", all.unread);
        };
        has("long.yml", "longer");
        has("bytes.yml", "utf-8");
        has("gone.yml", "No such file");
        has("again", "not followed");
        assert_eq!(all.files.len(), 2);
    }

    #[test]
    fn those_that_come_with_weir_are_there_if_wanted() {
        let shipped = Files::read(true, &[]);
        assert_eq!(shipped.files.len(), pack::files().len());
        assert!(shipped.files.iter().all(|file| file.shipped) && shipped.unread.is_empty());
        assert_eq!(Files::read(false, &[]), Files::default());
    }
}
