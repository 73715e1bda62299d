//! A Maildir that a mail server delivers to. Spec: maildir(5): `new/` holds what nobody has seen, `cur/` what has been.

use std::collections::HashSet;
use std::path::PathBuf;

use async_trait::async_trait;
use tokio::fs;
use tokio::io::AsyncReadExt as _;

use crate::ports::MailIn;

/// Longest message read, in octets; the rest of a longer one is left out.
const MESSAGE_MAX_OCTETS: u64 = 10 * 1024 * 1024;

/// Messages told at a time.
const WAITING_MAX: usize = 100;

/// One Maildir.
pub struct Maildir {
    path: PathBuf,
}

impl Maildir {
    /// Takes a Maildir by its path.
    ///
    /// # Errors
    /// It has no `new` and `cur` folders, or they cannot be read.
    pub fn open(path: PathBuf) -> std::io::Result<Self> {
        for folder in ["new", "cur"] {
            std::fs::read_dir(path.join(folder))?;
        }
        Ok(Self { path })
    }
}

#[async_trait]
impl MailIn for Maildir {
    async fn waiting(&self, last: &HashSet<String>) -> std::io::Result<Vec<String>> {
        let mut folder = fs::read_dir(self.path.join("new")).await?;
        let mut names = Vec::new();
        while let Some(entry) = folder.next_entry().await? {
            // A name that is no text, or hidden, was put there by nobody who delivers mail.
            if let Ok(name) = entry.file_name().into_string()
                && !name.starts_with('.')
            {
                names.push(name);
            }
        }
        // Names begin with the time of delivery.
        names.sort_unstable();
        names.sort_by_key(|name| last.contains(name));
        names.truncate(WAITING_MAX);
        Ok(names)
    }

    async fn read(&self, name: &str) -> std::io::Result<Vec<u8>> {
        let path = self.path.join("new").join(name);
        // Opening a pipe would wait for whoever writes to it.
        if !fs::symlink_metadata(&path).await?.is_file() {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no file"));
        }
        let mut bytes = Vec::new();
        fs::File::open(path).await?.take(MESSAGE_MAX_OCTETS).read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn done(&self, name: &str) -> std::io::Result<()> {
        fs::rename(self.path.join("new").join(name), self.path.join("cur").join(format!("{name}:2,S"))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_could_not_be_read_stands_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["new", "cur"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        // A folder is no message, nor is a pipe or a link.
        let unreadable: HashSet<String> = (0..WAITING_MAX).map(|n| format!("1.{n}")).collect();
        for name in &unreadable {
            std::fs::create_dir(dir.path().join("new").join(name)).unwrap();
        }
        std::fs::write(dir.path().join("new/2.mail"), "Subject: x\r\n\r\n").unwrap();
        let maildir = Maildir::open(dir.path().to_owned()).unwrap();
        assert!(maildir.read("1.0").await.is_err());
        std::os::unix::net::UnixListener::bind(dir.path().join("new/3.socket")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("new/4.link")).unwrap();
        for name in ["3.socket", "4.link"] {
            assert!(maildir.read(name).await.is_err(), "{name}");
        }
        assert!(!maildir.waiting(&HashSet::new()).await.unwrap().contains(&"2.mail".to_owned()));
        let names = maildir.waiting(&unreadable).await.unwrap();
        assert_eq!((names.len(), names[0].as_str()), (WAITING_MAX, "2.mail"));
    }
}
