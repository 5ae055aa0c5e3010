//! FUSE, and nothing else: each request is one question to the host.
//!
//! Direct I/O makes one request of each write. One thread per mount keeps the order of requests, so a `close` of
//! `/dev/vfio/N` is seen before the `open` that follows it. What waits (a blocked remove, a slow probe) keeps its reply
//! and not the thread.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenAccMode,
    OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite,
    Request,
};

use crate::attr::Attr;
use crate::host::{Host, Opener};
use crate::shared::{Shared, fuse_errno};
use crate::tree::{Kind, Node, NodeId};

/// sysfs takes and gives one page at most.
const PAGE: usize = 4096;

/// Directories and links that stay as long as the host.
const REMEMBER: Duration = Duration::from_secs(3600);

/// One mount: the part of the tree below `root`.
#[derive(Debug)]
pub(crate) struct SimFs {
    shared: Arc<Shared>,
    root: NodeId,
    born: SystemTime,
}

impl SimFs {
    pub(crate) fn new(shared: Arc<Shared>, root: NodeId) -> Self {
        SimFs {
            shared,
            root,
            born: SystemTime::now(),
        }
    }

    fn id(&self, ino: INodeNo) -> NodeId {
        if ino == INodeNo::ROOT { self.root } else { ino.0 }
    }

    fn ino(&self, id: NodeId) -> INodeNo {
        if id == self.root { INodeNo::ROOT } else { INodeNo(id) }
    }

    fn attr(&self, host: &Host, id: NodeId, node: &Node) -> FileAttr {
        FileAttr {
            ino: self.ino(id),
            size: match &node.kind {
                Kind::File(Attr::Log) => host.journal.text().len() as u64,
                Kind::File(_) => PAGE as u64,
                Kind::Link(_) | Kind::Dir(_) => 0,
            },
            blocks: 0,
            atime: self.born,
            mtime: self.born,
            ctime: self.born,
            crtime: self.born,
            kind: kind(node),
            perm: node.mode,
            nlink: host.tree.links(node),
            uid: node.uid,
            gid: node.gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// What the kernel may keep: nothing that can change, and a fault may change any file. Nor the mount's root, so that
    /// a dead mount shows (ENOTCONN) to who looks at it.
    fn ttl(&self, id: NodeId, node: &Node) -> Duration {
        let keep = node.lasting && id != self.root && !matches!(node.kind, Kind::File(_));
        if keep { REMEMBER } else { Duration::ZERO }
    }
}

fn kind(node: &Node) -> FileType {
    match node.kind {
        Kind::Dir(_) => FileType::Directory,
        Kind::Link(_) => FileType::Symlink,
        Kind::File(_) => FileType::RegularFile,
    }
}

impl Filesystem for SimFs {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.shared.lock();
        let host = &state.host;
        match name
            .to_str()
            .and_then(|name| host.tree.lookup(self.id(parent), name, Instant::now()))
        {
            Some((id, node)) => reply.entry(&self.ttl(id, node), &self.attr(host, id, node), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let state = self.shared.lock();
        let id = self.id(ino);
        match state.host.tree.get(id) {
            Some(node) => reply.attr(&self.ttl(id, node), &self.attr(&state.host, id, node)),
            None => reply.error(Errno::ENOENT),
        }
    }

    /// Truncation changes nothing, as in sysfs; mode and owner are kept.
    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<fuser::TimeOrNow>,
        _mtime: Option<fuser::TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.shared.lock();
        let id = self.id(ino);
        let Some(node) = state.host.tree.get_mut(id) else {
            return reply.error(Errno::ENOENT);
        };
        if let Some(mode) = mode {
            node.mode = u16::try_from(mode & 0o7777).unwrap_or(node.mode);
        }
        node.uid = uid.unwrap_or(node.uid);
        node.gid = gid.unwrap_or(node.gid);
        match state.host.tree.get(id) {
            Some(node) => reply.attr(&self.ttl(id, node), &self.attr(&state.host, id, node)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match self.shared.lock().host.tree.get(self.id(ino)).map(|node| &node.kind) {
            Some(Kind::Link(target)) => reply.data(target.as_bytes()),
            Some(_) => reply.error(Errno::EINVAL),
            None => reply.error(Errno::ENOENT),
        }
    }

    /// sysfs holds even root to the mode bits (KERNFS_ROOT_EXTRA_OPEN_PERM_CHECK); other users the kernel checks.
    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let id = self.id(ino);
        let (attr, mode) = match self.shared.lock().host.tree.get(id) {
            Some(Node {
                kind: Kind::File(attr),
                mode,
                ..
            }) => (attr.clone(), *mode),
            Some(_) => return reply.error(Errno::EISDIR),
            None => return reply.error(Errno::ENOENT),
        };
        let needs = match flags.acc_mode() {
            OpenAccMode::O_RDONLY => [0o444, 0o444],
            OpenAccMode::O_WRONLY => [0o222, 0o222],
            OpenAccMode::O_RDWR => [0o444, 0o222],
        };
        if needs.iter().any(|bits| mode & bits == 0) {
            return reply.error(Errno::EACCES);
        }
        // Read /proc without the lock.
        let group = if let Attr::Group(device) = attr {
            Some((device, vm_name(req.pid())))
        } else {
            None
        };
        let mut state = self.shared.lock();
        let opener = state.opener();
        if let Some((device, vm)) = group
            && let Err(errno) = state.host.open_device(device, opener, &vm)
        {
            return reply.error(fuse_errno(errno));
        }
        let how = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES | FopenFlags::FOPEN_NOFLUSH;
        reply.opened(FileHandle(opener), how);
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let (offset, size) = (
            usize::try_from(offset).unwrap_or(usize::MAX),
            usize::try_from(size).unwrap_or(PAGE),
        );
        match self.shared.lock().host.read(self.id(ino), offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    /// One write is one store; the offset does not matter.
    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        data: &[u8],
        _write_flags: fuser::WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let id = self.id(ino);
        let is_control = matches!(
            self.shared.lock().host.tree.get(id).map(|n| &n.kind),
            Some(Kind::File(Attr::Control))
        );
        if !is_control {
            return self.shared.store(id, data.get(..PAGE).unwrap_or(data), reply);
        }
        let answer = std::str::from_utf8(data).ok().map(|text| self.shared.orders(text));
        match answer {
            Some(Ok(())) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Some(Err(error)) => {
                log::warn!("simulated host: {error}");
                reply.error(Errno::EINVAL);
            }
            None => reply.error(Errno::EINVAL),
        }
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let mut state = self.shared.lock();
        if let Some(Node {
            kind: Kind::File(Attr::Group(device)),
            ..
        }) = state.host.tree.get(self.id(ino))
        {
            let (device, opener): (_, Opener) = (*device, fh.0);
            let done = state.host.close_device(device, opener);
            state.answer(done);
        }
        reply.ok();
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = self.shared.lock();
        let (tree, id) = (&state.host.tree, self.id(ino));
        let Some(dir) = tree.get(id) else {
            return reply.error(Errno::ENOENT);
        };
        // A child's number is the place to go on after it: right whatever comes or goes meanwhile.
        let dots = [(1, id, "."), (2, dir.parent, "..")].map(|(at, id, name)| (at, id, name, FileType::Directory));
        let children = tree.children(id, Instant::now());
        let children = children.iter().map(|(id, name, node)| (*id, *id, *name, kind(node)));
        for (at, id, name, kind) in dots.into_iter().chain(children).filter(|(at, ..)| *at > offset) {
            if reply.add(self.ino(id), at, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    /// A new file in sysfs: the directory has no way to make one.
    fn create(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::EACCES);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: fuser::RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EPERM);
    }
}

/// The opener's name as NVIDIA's plugin shows it: what follows `-name` on its command line, else its first word.
fn vm_name(pid: u32) -> String {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
        return format!("pid {pid}");
    };
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let named = words
        .iter()
        .position(|word| word == "-name")
        .and_then(|at| words.get(at + 1));
    named.or(words.first()).map(ToString::to_string).unwrap_or_default()
}
