//! A guest without an engine: a context, a memory, and the functions with Rust arguments.
//!
//! Arguments are laid out in the memory the way a C library would, results are read back from it.
//! Layout: results at 0, records from 64 on, strings from 4 KiB and 8 KiB on, data from 16 KiB on.

use std::path::Path;
use tempfile::TempDir;
use wasmo_wasi::types::{FdFlags, OFlags, Rights};
use wasmo_wasi::{DirPerms, Errno, FilePerms, GuestMemory, WasiCtx, WasiCtxBuilder, preview1 as p1};

pub type Fd = u32;

const RESULT: u32 = 0;
const RECORDS: u32 = 64;
const STRING: u32 = 4096;
const STRING2: u32 = 8192;
pub const DATA: u32 = 16384;

/// The first preopened directory.
pub const ROOT: Fd = 3;

pub struct Guest {
    pub ctx: WasiCtx,
    pub memory: Vec<u8>,
    /// The host's side of the first preopened directory.
    pub host: TempDir,
}

/// `fdstat` as read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdStat {
    pub file_type: u8,
    pub flags: u16,
    pub base: u64,
    pub inheriting: u64,
}

/// `filestat` as read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    pub device: u64,
    pub inode: u64,
    pub file_type: u8,
    pub links: u64,
    pub size: u64,
    pub accessed: u64,
    pub modified: u64,
}

/// A directory entry as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub next: u64,
    pub inode: u64,
    pub file_type: u8,
    pub name: String,
}

/// The arguments of `path_open` that usually are zero.
#[derive(Clone, Copy, Default)]
pub struct Open {
    pub follow: bool,
    pub oflags: u16,
    pub base: u64,
    pub inheriting: u64,
    pub fdflags: u16,
}

impl Open {
    pub fn flags(oflags: OFlags) -> Self {
        Self { oflags: oflags.bits(), ..Self::default() }
    }

    pub fn rights(self, base: Rights) -> Self {
        Self { base: base.bits(), ..self }
    }

    pub fn fdflags(self, flags: FdFlags) -> Self {
        Self { fdflags: flags.bits(), ..self }
    }

    pub fn follow(self) -> Self {
        Self { follow: true, ..self }
    }
}

impl Guest {
    /// A guest with an empty directory at `/`.
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// A guest with an empty directory at `/`, and what `more` adds.
    pub fn with(more: impl FnOnce(&mut WasiCtxBuilder)) -> Self {
        Self::with_perms(DirPerms::all(), FilePerms::all(), more)
    }

    pub fn with_perms(dir: DirPerms, file: FilePerms, more: impl FnOnce(&mut WasiCtxBuilder)) -> Self {
        let host = tempfile::tempdir().unwrap();
        let mut builder = WasiCtxBuilder::new();
        builder.preopened_dir(host.path(), "/", dir, file).unwrap();
        more(&mut builder);
        Self { ctx: builder.build(), memory: vec![0; 1 << 16], host }
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.host.path().join(Path::new(name))
    }

    /// Calls a function with the context and the memory.
    pub fn call<R>(&mut self, function: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>) -> R) -> R {
        function(&mut self.ctx, &mut GuestMemory::new(&mut self.memory))
    }

    pub fn put(&mut self, at: u32, bytes: &[u8]) {
        self.memory[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub fn u32(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.memory[at as usize..][..4].try_into().unwrap())
    }

    pub fn u64(&self, at: u32) -> u64 {
        u64::from_le_bytes(self.memory[at as usize..][..8].try_into().unwrap())
    }

    fn string(&mut self, text: &str) -> (u32, u32) {
        self.put(STRING, text.as_bytes());
        (STRING, u32::try_from(text.len()).unwrap())
    }

    fn string2(&mut self, text: &str) -> (u32, u32) {
        self.put(STRING2, text.as_bytes());
        (STRING2, u32::try_from(text.len()).unwrap())
    }

    /// Lists one buffer at the data area, and returns the list.
    fn one_buffer(&mut self, len: usize) -> u32 {
        self.put(RECORDS, &DATA.to_le_bytes());
        self.put(RECORDS + 4, &u32::try_from(len).unwrap().to_le_bytes());
        RECORDS
    }

    pub fn open(&mut self, fd: Fd, path: &str, how: Open) -> Result<Fd, Errno> {
        let (path, len) = self.string(path);
        self.call(|ctx, memory| {
            p1::path_open(
                ctx,
                memory,
                fd,
                how.follow.into(),
                path,
                len,
                how.oflags.into(),
                how.base,
                how.inheriting,
                how.fdflags.into(),
                RESULT,
            )
        })?;
        Ok(self.u32(RESULT))
    }

    /// Creates an empty file.
    pub fn create(&mut self, fd: Fd, path: &str) {
        let fd = self.open(fd, path, Open::flags(OFlags::CREAT)).unwrap();
        self.close(fd).unwrap();
    }

    pub fn close(&mut self, fd: Fd) -> Result<(), Errno> {
        self.call(|ctx, memory| p1::fd_close(ctx, memory, fd))
    }

    pub fn read(&mut self, fd: Fd, len: usize) -> Result<Vec<u8>, Errno> {
        let list = self.one_buffer(len);
        self.call(|ctx, memory| p1::fd_read(ctx, memory, fd, list, 1, RESULT))?;
        Ok(self.memory[DATA as usize..][..self.u32(RESULT) as usize].to_vec())
    }

    pub fn pread(&mut self, fd: Fd, len: usize, offset: u64) -> Result<Vec<u8>, Errno> {
        let list = self.one_buffer(len);
        self.call(|ctx, memory| p1::fd_pread(ctx, memory, fd, list, 1, offset, RESULT))?;
        Ok(self.memory[DATA as usize..][..self.u32(RESULT) as usize].to_vec())
    }

    pub fn write(&mut self, fd: Fd, bytes: &[u8]) -> Result<u32, Errno> {
        self.put(DATA, bytes);
        let list = self.one_buffer(bytes.len());
        self.call(|ctx, memory| p1::fd_write(ctx, memory, fd, list, 1, RESULT))?;
        Ok(self.u32(RESULT))
    }

    pub fn pwrite(&mut self, fd: Fd, bytes: &[u8], offset: u64) -> Result<u32, Errno> {
        self.put(DATA, bytes);
        let list = self.one_buffer(bytes.len());
        self.call(|ctx, memory| p1::fd_pwrite(ctx, memory, fd, list, 1, offset, RESULT))?;
        Ok(self.u32(RESULT))
    }

    pub fn seek(&mut self, fd: Fd, offset: i64, whence: u32) -> Result<u64, Errno> {
        self.call(|ctx, memory| p1::fd_seek(ctx, memory, fd, offset, whence, RESULT))?;
        Ok(self.u64(RESULT))
    }

    pub fn tell(&mut self, fd: Fd) -> Result<u64, Errno> {
        self.call(|ctx, memory| p1::fd_tell(ctx, memory, fd, RESULT))?;
        Ok(self.u64(RESULT))
    }

    pub fn fdstat(&mut self, fd: Fd) -> Result<FdStat, Errno> {
        self.call(|ctx, memory| p1::fd_fdstat_get(ctx, memory, fd, RESULT))?;
        Ok(FdStat {
            file_type: self.memory[0],
            flags: u16::from_le_bytes([self.memory[2], self.memory[3]]),
            base: self.u64(8),
            inheriting: self.u64(16),
        })
    }

    pub fn set_rights(&mut self, fd: Fd, base: u64, inheriting: u64) -> Result<(), Errno> {
        self.call(|ctx, memory| p1::fd_fdstat_set_rights(ctx, memory, fd, base, inheriting))
    }

    fn stat_result(&self) -> FileStat {
        FileStat {
            device: self.u64(0),
            inode: self.u64(8),
            file_type: self.memory[16],
            links: self.u64(24),
            size: self.u64(32),
            accessed: self.u64(40),
            modified: self.u64(48),
        }
    }

    pub fn stat(&mut self, fd: Fd) -> Result<FileStat, Errno> {
        self.call(|ctx, memory| p1::fd_filestat_get(ctx, memory, fd, RESULT))?;
        Ok(self.stat_result())
    }

    pub fn path_stat(&mut self, fd: Fd, path: &str, follow: bool) -> Result<FileStat, Errno> {
        let (path, len) = self.string(path);
        self.call(|ctx, memory| p1::path_filestat_get(ctx, memory, fd, follow.into(), path, len, RESULT))?;
        Ok(self.stat_result())
    }

    pub fn path_set_times(
        &mut self,
        path: &str,
        follow: bool,
        accessed: u64,
        modified: u64,
        flags: u32,
    ) -> Result<(), Errno> {
        let (path, len) = self.string(path);
        self.call(|ctx, memory| {
            p1::path_filestat_set_times(ctx, memory, ROOT, follow.into(), path, len, accessed, modified, flags)
        })
    }

    pub fn mkdir(&mut self, fd: Fd, path: &str) -> Result<(), Errno> {
        let (path, len) = self.string(path);
        self.call(|ctx, memory| p1::path_create_directory(ctx, memory, fd, path, len))
    }

    pub fn rmdir(&mut self, fd: Fd, path: &str) -> Result<(), Errno> {
        let (path, len) = self.string(path);
        self.call(|ctx, memory| p1::path_remove_directory(ctx, memory, fd, path, len))
    }

    pub fn unlink(&mut self, fd: Fd, path: &str) -> Result<(), Errno> {
        let (path, len) = self.string(path);
        self.call(|ctx, memory| p1::path_unlink_file(ctx, memory, fd, path, len))
    }

    pub fn symlink(&mut self, target: &str, fd: Fd, path: &str) -> Result<(), Errno> {
        let (target, target_len) = self.string(target);
        let (path, len) = self.string2(path);
        self.call(|ctx, memory| p1::path_symlink(ctx, memory, target, target_len, fd, path, len))
    }

    pub fn readlink(&mut self, path: &str, room: u32) -> Result<Vec<u8>, Errno> {
        let (path, len) = self.string(path);
        self.call(|ctx, memory| p1::path_readlink(ctx, memory, ROOT, path, len, DATA, room, RESULT))?;
        Ok(self.memory[DATA as usize..][..self.u32(RESULT) as usize].to_vec())
    }

    pub fn link(&mut self, old: (Fd, &str), follow: bool, new: (Fd, &str)) -> Result<(), Errno> {
        let (old_path, old_len) = self.string(old.1);
        let (new_path, new_len) = self.string2(new.1);
        self.call(|ctx, memory| {
            p1::path_link(ctx, memory, old.0, follow.into(), old_path, old_len, new.0, new_path, new_len)
        })
    }

    pub fn rename(&mut self, old: (Fd, &str), new: (Fd, &str)) -> Result<(), Errno> {
        let (old_path, old_len) = self.string(old.1);
        let (new_path, new_len) = self.string2(new.1);
        self.call(|ctx, memory| p1::path_rename(ctx, memory, old.0, old_path, old_len, new.0, new_path, new_len))
    }

    /// One call of `fd_readdir`: the complete entries, and whether the listing is complete.
    pub fn readdir(&mut self, fd: Fd, room: u32, cookie: u64) -> Result<(Vec<Entry>, bool), Errno> {
        self.call(|ctx, memory| p1::fd_readdir(ctx, memory, fd, DATA, room, cookie, RESULT))?;
        let used = self.u32(RESULT);
        assert!(used <= room);
        let mut entries = Vec::new();
        let mut at = DATA;
        let end = DATA + used;
        while at + 24 <= end {
            let name_len = self.u32(at + 16);
            if at + 24 + name_len > end {
                break;
            }
            let name = &self.memory[at as usize + 24..][..name_len as usize];
            entries.push(Entry {
                next: self.u64(at),
                inode: self.u64(at + 8),
                file_type: self.memory[at as usize + 20],
                name: String::from_utf8(name.to_vec()).unwrap(),
            });
            at += 24 + name_len;
        }
        Ok((entries, used < room))
    }
}
