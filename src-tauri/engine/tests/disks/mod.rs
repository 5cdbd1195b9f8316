//! Small disks of their own, to be full, read-only or silent. There are none where this may not mount one.

#![allow(dead_code, reason = "each test uses some of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A disk that is mounted in a folder until it is dropped.
pub struct Disk {
    folder: TempDir,
    image: Option<TempDir>,
    /// How many file systems lie over each other there.
    mounts: u8,
}

/// A disk that nothing is written to now.
pub struct Frozen(Child);

impl Frozen {
    pub fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("it can be asked").is_some()
    }
}

impl Disk {
    /// In memory.
    pub fn of(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path()))
        .then_some(Self { folder, image: None, mounts: 1 })
    }

    /// In a file, with a file system that can be frozen, and that turns read-only when it meets an error.
    pub fn in_a_file(megabytes: u64) -> Option<Self> {
        let (folder, image) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let file = image.path().join("disk");
        std::fs::File::create(&file).and_then(|made| made.set_len(megabytes << 20)).expect("made");
        let made = run(Command::new("mkfs.ext4").args(["-q", "-O", "^has_journal"]).arg(&file))
            && run(Command::new("mount")
                .args(["-o", "loop,errors=remount-ro"])
                .arg(&file)
                .arg(folder.path()));
        made.then_some(Self { folder, image: Some(image), mounts: 1 })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn mount_again(&self, options: &str) {
        assert!(run(Command::new("mount").args(["-o", options]).arg(self.path())));
    }

    /// Takes all the room that is left; the file that takes it.
    pub fn fill(&self) -> PathBuf {
        let rest = self.path().join("rest");
        let mut file = std::fs::File::options().create(true).append(true).open(&rest).expect("created");
        while file.write_all(&[0; 4096]).is_ok() {}
        rest
    }

    /// Meets an error, as a disk does that breaks: the kernel lets nobody write any more, whatever is open. False where
    /// it cannot be told to.
    pub fn break_down(&self) -> bool {
        let Some(device) = self.device() else { return false };
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        let file = self.path().join("probe");
        let told = std::fs::write(trigger, "a test").is_ok();
        let is_read_only = std::fs::write(&file, "").is_err();
        told && is_read_only
    }

    /// Puts another disk in its place, with what is there.
    pub fn replace(&mut self) {
        let copy = tempfile::tempdir().expect("a folder");
        assert!(run(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(copy.path())));
        assert!(run(Command::new("cp")
            .arg("-a")
            .arg(format!("{}/.", self.path().display()))
            .arg(copy.path())));
        assert!(run(Command::new("mount").arg("--bind").arg(copy.path()).arg(self.path())));
        self.mounts += 1;
        assert!(run(Command::new("umount").arg(copy.path())));
    }

    /// Whoever writes waits for so many seconds. It is another process that ends it, so that it ends whatever becomes of
    /// this one: what waits for such a disk cannot even be killed.
    pub fn freeze_for(&self, seconds: u32) -> Frozen {
        let script = "fsfreeze -f \"$0\" && echo frozen; sleep \"$1\"; fsfreeze -u \"$0\"";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(self.path())
            .arg(seconds.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert_eq!(line, "frozen\n");
        Frozen(child)
    }

    /// The block device that the file is.
    fn device(&self) -> Option<String> {
        let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
        let path = self.path().to_str()?;
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(path))?;
        Some(line.split(' ').next()?.strip_prefix("/dev/")?.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for _ in 0..self.mounts {
            run(Command::new("umount").arg("-l").arg(self.path()));
        }
    }
}

fn run(command: &mut Command) -> bool {
    let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let done = ended.is_ok_and(|status| status.success());
    if !done {
        eprintln!("{command:?} cannot be done here");
    }
    done
}
