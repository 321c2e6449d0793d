//! A file system for SQLite (a VFS) under which a process that is gone within a millisecond keeps the index of the
//! write-ahead log in its own memory.
//!
//! The index is a file, `-shm`, that all processes with the database open map. The first of them must take it apart and
//! rebuild it, because a power cut may have spoiled it: 25 system calls and 17 fresh pages of memory. A start of `exec`
//! nearly always is the first, and nobody comes to share what it built.
//!
//! So it locks the byte of `-shm` by which SQLite's processes know of each other (the "dead man switch", which each of
//! them holds shared for as long as it maps the file), and locks it alone. While it does, nobody else has the index mapped,
//! reads or writes: this is what `locking_mode=EXCLUSIVE` gives, but nobody has to give up anything for it. Whoever
//! comes meanwhile is told by SQLite's own code to come again. If somebody has the database open already, the lock is not
//! to be had, and everything is as without this VFS. It ends with [`end`], with the connection, or with `execve`.
//!
//! The lock belongs to the open file (`F_OFD_SETLK`) and not to the process: it holds against other connections of this
//! process too. Everything else is passed on to SQLite's own VFS, whose files these are: what is kept here for one
//! stands behind it in the same allocation.
#![allow(unsafe_code, reason = "SQLite calls a VFS by pointers to C functions")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{Ordering, fence};

use rusqlite::{Connection, ffi};

/// The name to open a connection under.
pub const NAME: &CStr = c"keyvault-brief";

/// The byte of `-shm` that says whether anybody has it mapped: `UNIX_SHM_DMS` of SQLite's `os_unix.c`.
const SWITCH: libc::off_t = 128;
/// The first of the bytes that readers and writers lock. One who may not write the `-shm` locks these alone.
const FIRST_LOCK: libc::off_t = 120;
/// How long SQLite leaves a `-shm` that holds no index.
const NO_INDEX: u64 = 3;

/// Size of one part of the index, in bytes: `WALINDEX_PGSZ`.
const PART: usize = 32 << 10;

/// Room behind SQLite's own file, in bytes.
const ROOM: usize =
    if size_of::<Index>() > size_of::<ReadAhead>() { size_of::<Index>() } else { size_of::<ReadAhead>() };

/// How many frames of the log are read at once.
const FRAMES: i64 = 8;

/// The largest page of a vault, in bytes. Of the log, more at once is read only to build its index.
const PAGE: c_int = 4096;

/// A request that no other VFS knows: whether the lock was held, which is let go with the question.
const END: c_int = 0x4B56_4C54;

/// Kept for an open database, behind SQLite's own file.
struct Index {
    /// The database's path, which SQLite keeps for as long as the file is open.
    path: *const c_char,
    kind: IndexState,
    /// Parts that SQLite was given, and may look at until it unmaps them.
    parts: Vec<*mut u8>,
}

/// Kept for an open log, behind SQLite's own file.
struct ReadAhead {
    /// Frames that were read ahead of SQLite; what is left of them begins at `begin` of the file.
    ahead: Vec<u8>,
    begin: i64,
    /// The file's length in bytes, as SQLite last asked for it. It asks before it builds the index, and while it
    /// builds nobody may write; a length that has become wrong since makes a read fail that is then repeated as asked.
    length: i64,
}

enum IndexState {
    /// SQLite has not asked for it yet.
    Undecided,
    /// The file's, shared with others.
    Shared,
    /// Our own, for as long as this file is locked.
    Alone(#[allow(dead_code, reason = "held for its lock")] File),
    /// It was our own, and others may have written since.
    Ended,
}

/// Makes the VFS known to SQLite. Without it, as on a system that has no such locks, a connection is opened as always.
pub fn register() -> bool {
    cfg!(target_os = "linux") && vfs().is_some()
}

/// Lets others at the database again. Afterwards the connection can begin nothing any more, if the answer is yes; if no,
/// it shared the index all along.
pub fn end(connection: &Connection) -> bool {
    let mut was_alone: c_int = 0;
    // SAFETY: the handle is that of a living connection and is used for this call only; a VFS that does not know the
    // request, SQLite's own among them, answers SQLITE_NOTFOUND and leaves the integer alone.
    let answer = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            END,
            ptr::from_mut(&mut was_alone).cast(),
        )
    };
    answer == ffi::SQLITE_OK && was_alone != 0
}

/// SQLite's own VFS, below ours. Ours is SQLite's alone once it is registered: SQLite writes to its `pNext`, so no
/// reference to it may exist here.
struct Vfs {
    unix: *mut ffi::sqlite3_vfs,
    /// Where the [`Index`] or [`ReadAhead`] of an open file begins, in bytes from the file's own beginning.
    offset: usize,
}

// SAFETY: SQLite's VFS is never taken back. Of it only the functions are read, which do not change; `pNext`, which
// does, is SQLite's, under its own lock.
unsafe impl Send for Vfs {}
// SAFETY: as above.
unsafe impl Sync for Vfs {}

/// SQLite's functions for a file, and the same with ours among them.
struct Methods {
    unix: *const ffi::sqlite3_io_methods,
    own: ffi::sqlite3_io_methods,
}

// SAFETY: both tables are constant.
unsafe impl Send for Methods {}
// SAFETY: as above.
unsafe impl Sync for Methods {}

static METHODS: OnceLock<Methods> = OnceLock::new();
static LOG_METHODS: OnceLock<Methods> = OnceLock::new();

fn vfs() -> Option<&'static Vfs> {
    static VFS: OnceLock<Option<Vfs>> = OnceLock::new();
    let registered = VFS.get_or_init(|| {
        // SAFETY: initializes SQLite, if nobody has yet, and looks up a name that is a C string.
        let unix = unsafe { ffi::sqlite3_vfs_find(c"unix".as_ptr()) };
        if unix.is_null() {
            return None;
        }
        // SAFETY: a VFS that SQLite knows is a valid structure. It is copied before this process opens a database, and
        // so before anyone registers another VFS, which is when its `pNext` would change.
        let mut own = unsafe { *unix };
        let offset = usize::try_from(own.szOsFile).ok()?.next_multiple_of(align_of::<Index>());
        own.szOsFile = c_int::try_from(offset + ROOM).ok()?;
        own.zName = NAME.as_ptr();
        own.pNext = ptr::null_mut();
        own.xOpen = Some(open);
        own.xFullPathname = Some(full_path);
        own.xAccess = Some(access);
        let own = Box::into_raw(Box::new(own));
        // SAFETY: the structure was allocated to be written to, nothing else points to it, and it is never freed.
        let answer = unsafe { ffi::sqlite3_vfs_register(own, 0) };
        (answer == ffi::SQLITE_OK).then_some(Vfs { unix, offset })
    });
    registered.as_ref()
}

/// Where an open file's [`Index`] is.
///
/// # Safety
/// `file` is at least `szOsFile` bytes of our VFS.
unsafe fn place(file: *mut ffi::sqlite3_file) -> *mut Index {
    // SAFETY: within the allocation, by the caller's promise; SQLite allocates files aligned to eight bytes.
    unsafe { file.byte_add(offset()).cast() }
}

fn offset() -> usize {
    vfs().map_or(0, |vfs| vfs.offset)
}

/// SQLite's own functions for these files.
fn unix() -> Option<&'static ffi::sqlite3_io_methods> {
    // SAFETY: a constant table of SQLite's.
    METHODS.get().map(|methods| unsafe { &*methods.unix })
}

/// SQLite's own functions for logs.
fn unix_log() -> Option<&'static ffi::sqlite3_io_methods> {
    // SAFETY: a constant table of SQLite's.
    LOG_METHODS.get().map(|methods| unsafe { &*methods.unix })
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    opened: *mut c_int,
) -> c_int {
    let Some(vfs) = vfs() else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: SQLite's own VFS gets what SQLite passed, and a file that is larger than it needs. Of one that was opened the
    // functions are set; they are constant.
    unsafe {
        let Some(open) = (*vfs.unix).xOpen else { return ffi::SQLITE_CANTOPEN };
        let answer = open(vfs.unix, name, file, flags, opened);
        if answer != ffi::SQLITE_OK || flags & (ffi::SQLITE_OPEN_MAIN_DB | ffi::SQLITE_OPEN_WAL) == 0 {
            return answer;
        }
        let unix = (*file).pMethods;
        if flags & ffi::SQLITE_OPEN_WAL != 0 {
            let methods = LOG_METHODS.get_or_init(|| {
                let mut own = *unix;
                own.xClose = Some(close_log);
                own.xRead = Some(read_log);
                own.xFileSize = Some(size_of_log);
                Methods { unix, own }
            });
            if methods.unix == unix {
                place(file).cast::<ReadAhead>().write(ReadAhead { ahead: Vec::new(), begin: 0, length: 0 });
                (*file).pMethods = &raw const methods.own;
            }
            return answer;
        }
        let methods = METHODS.get_or_init(|| {
            let mut own = *unix;
            own.xClose = Some(close);
            own.xFileControl = Some(control);
            own.xShmMap = Some(map);
            own.xShmLock = Some(lock);
            own.xShmBarrier = Some(barrier);
            own.xShmUnmap = Some(unmap);
            Methods { unix, own }
        });
        // A file with other functions, such as one on a network's file system, keeps them.
        if methods.unix == unix {
            place(file).write(Index { path: name, kind: IndexState::Undecided, parts: Vec::new() });
            (*file).pMethods = &raw const methods.own;
        }
    }
    ffi::SQLITE_OK
}

/// The path is canonical already; SQLite would ask for each of its parts again.
unsafe extern "C" fn full_path(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    into: *mut c_char,
) -> c_int {
    // SAFETY: a C string of SQLite's, and a buffer of `room` bytes.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes_with_nul();
        if name.first() != Some(&b'/') || usize::try_from(room).is_ok_and(|room| name.len() > room) {
            return ffi::SQLITE_CANTOPEN;
        }
        name.as_ptr().copy_to_nonoverlapping(into.cast(), name.len());
    }
    ffi::SQLITE_OK
}

/// A rollback journal was looked for before the database was opened, and must never be believed: it is not there.
unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    answer: *mut c_int,
) -> c_int {
    let Some(vfs) = vfs() else { return ffi::SQLITE_IOERR_ACCESS };
    // SAFETY: a C string of SQLite's and its place for the answer, which SQLite's own VFS gets as well.
    unsafe {
        if flags == ffi::SQLITE_ACCESS_EXISTS && CStr::from_ptr(name).to_bytes().ends_with(b"-journal") {
            *answer = 0;
            return ffi::SQLITE_OK;
        }
        (*vfs.unix).xAccess.map_or(ffi::SQLITE_IOERR_ACCESS, |access| access(vfs.unix, name, flags, answer))
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: only files with an `Index` have this function, and SQLite closes each once.
    unsafe {
        free_parts(&mut *place(file));
        place(file).drop_in_place();
        unix().and_then(|unix| unix.xClose).map_or(ffi::SQLITE_IOERR_CLOSE, |close| close(file))
    }
}

unsafe extern "C" fn close_log(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: only files with a `ReadAhead` have this function, and SQLite closes each once.
    unsafe {
        place(file).cast::<ReadAhead>().drop_in_place();
        unix_log().and_then(|unix| unix.xClose).map_or(ffi::SQLITE_IOERR_CLOSE, |close| close(file))
    }
}

/// SQLite builds the index from one frame after the other, while nobody may write to the log. What it reads otherwise, the
/// log's header before the frames among it, is read as asked, and ends what was read ahead.
unsafe extern "C" fn read_log(
    file: *mut ffi::sqlite3_file,
    into: *mut c_void,
    amount: c_int,
    from: ffi::sqlite3_int64,
) -> c_int {
    let Some(read) = unix_log().and_then(|unix| unix.xRead) else { return ffi::SQLITE_IOERR_READ };
    // SAFETY: only files with a `ReadAhead` have this function; `into` has room for `amount` bytes.
    unsafe {
        let log = &mut *place(file).cast::<ReadAhead>();
        let Some(length) = usize::try_from(amount).ok().filter(|_| amount > PAGE) else {
            log.ahead = Vec::new();
            return read(file, into, amount, from);
        };
        let there = usize::try_from(from - log.begin).ok().and_then(|at| log.ahead.get(at..at + length));
        if let Some(frame) = there {
            frame.as_ptr().copy_to_nonoverlapping(into.cast(), length);
            return ffi::SQLITE_OK;
        }
        let whole = (log.length - from) / i64::from(amount);
        let wanted = whole.min(FRAMES) * i64::from(amount);
        let (Ok(room), Ok(count)) = (usize::try_from(wanted), c_int::try_from(wanted)) else {
            return read(file, into, amount, from);
        };
        if whole < 2 {
            log.ahead = Vec::new();
            return read(file, into, amount, from);
        }
        log.ahead.resize(room, 0);
        log.begin = from;
        let answer = read(file, log.ahead.as_mut_ptr().cast(), count, from);
        if answer != ffi::SQLITE_OK {
            log.ahead = Vec::new();
            return read(file, into, amount, from);
        }
        log.ahead.as_ptr().copy_to_nonoverlapping(into.cast(), length);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn size_of_log(file: *mut ffi::sqlite3_file, length: *mut ffi::sqlite3_int64) -> c_int {
    let Some(size) = unix_log().and_then(|unix| unix.xFileSize) else { return ffi::SQLITE_IOERR_FSTAT };
    // SAFETY: only files with a `ReadAhead` have this function; `length` is SQLite's place for the answer.
    unsafe {
        let answer = size(file, length);
        (*place(file).cast::<ReadAhead>()).length = if answer == ffi::SQLITE_OK { *length } else { 0 };
        answer
    }
}

unsafe extern "C" fn control(file: *mut ffi::sqlite3_file, request: c_int, value: *mut c_void) -> c_int {
    // SAFETY: only files with an `Index` have this function; with our request comes a pointer to an integer.
    unsafe {
        if request != END {
            let control = unix().and_then(|unix| unix.xFileControl);
            return control.map_or(ffi::SQLITE_NOTFOUND, |control| control(file, request, value));
        }
        let index = &mut *place(file);
        let was_alone = matches!(index.kind, IndexState::Alone(_) | IndexState::Ended);
        // One that has not begun must not begin alone any more.
        index.kind = if was_alone { IndexState::Ended } else { IndexState::Shared };
        *value.cast::<c_int>() = c_int::from(was_alone);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn map(
    file: *mut ffi::sqlite3_file,
    part: c_int,
    size: c_int,
    extend: c_int,
    at: *mut *mut c_void,
) -> c_int {
    // SAFETY: only files with an `Index` have this function; `at` is SQLite's place for the answer.
    unsafe {
        let index = &mut *place(file);
        if matches!(index.kind, IndexState::Undecided) {
            index.kind = lock_alone(CStr::from_ptr(index.path)).map_or(IndexState::Shared, IndexState::Alone);
        }
        if matches!(index.kind, IndexState::Shared) {
            let map = unix().and_then(|unix| unix.xShmMap);
            return map.map_or(ffi::SQLITE_IOERR_SHMMAP, |map| map(file, part, size, extend, at));
        }
        let (Ok(part), Ok(PART)) = (usize::try_from(part), usize::try_from(size)) else {
            return ffi::SQLITE_IOERR_SHMMAP;
        };
        while index.parts.len() <= part && extend != 0 {
            let made = alloc_zeroed(LAYOUT);
            if made.is_null() {
                return ffi::SQLITE_NOMEM;
            }
            index.parts.push(made);
        }
        *at = index.parts.get(part).map_or(ptr::null_mut(), |part| part.cast());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: only files with an `Index` have this function.
    unsafe {
        match (*place(file)).kind {
            IndexState::Shared | IndexState::Undecided => {
                let lock = unix().and_then(|unix| unix.xShmLock);
                lock.map_or(ffi::SQLITE_IOERR_SHMLOCK, |lock| lock(file, first, count, flags))
            }
            // No one else is there to be kept out.
            IndexState::Alone(_) => ffi::SQLITE_OK,
            IndexState::Ended if flags & ffi::SQLITE_SHM_UNLOCK != 0 => ffi::SQLITE_OK,
            IndexState::Ended => ffi::SQLITE_IOERR_SHMLOCK,
        }
    }
}

unsafe extern "C" fn barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: only files with an `Index` have this function.
    unsafe {
        match (&(*place(file)).kind, unix().and_then(|unix| unix.xShmBarrier)) {
            (IndexState::Shared | IndexState::Undecided, Some(barrier)) => barrier(file),
            _ => fence(Ordering::SeqCst),
        }
    }
}

unsafe extern "C" fn unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: only files with an `Index` have this function; SQLite looks at no part afterwards.
    unsafe {
        let index = &mut *place(file);
        free_parts(index);
        if matches!(index.kind, IndexState::Alone(_) | IndexState::Ended) {
            index.kind = IndexState::Ended;
            return ffi::SQLITE_OK;
        }
        let unmap = unix().and_then(|unix| unix.xShmUnmap);
        unmap.map_or(ffi::SQLITE_OK, |unmap| unmap(file, delete))
    }
}

// The size is a positive multiple of the alignment.
const LAYOUT: Layout = match Layout::from_size_align(PART, 8) {
    Ok(layout) => layout,
    Err(_) => Layout::new::<u8>(),
};

/// # Safety
/// No process looks at a part any more.
unsafe fn free_parts(index: &mut Index) {
    for part in index.parts.drain(..) {
        // SAFETY: made in `map` with this layout, and freed once.
        unsafe { dealloc(part, LAYOUT) };
    }
}

/// The `-shm` of the database at `path`, locked so that nobody can map it; none if somebody has, or if there is no such
/// file yet.
#[cfg(target_os = "linux")]
fn lock_alone(path: &CStr) -> Option<File> {
    let mut side = std::ffi::OsStr::from_bytes(path.to_bytes()).to_owned();
    side.push("-shm");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(Path::new(&side))
        .ok()?;
    // SAFETY: a C structure of integers, of which all zeros is a value.
    let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
    wanted.l_type = libc::c_short::try_from(libc::F_WRLCK).ok()?;
    wanted.l_whence = libc::c_short::try_from(libc::SEEK_SET).ok()?;
    wanted.l_start = FIRST_LOCK;
    wanted.l_len = SWITCH - FIRST_LOCK + 1;
    // SAFETY: an open descriptor, and the structure that this request takes.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const wanted) } == 0 {
        // As SQLite does when it finds nobody there: one that asked for the last of those who had the file open, and was
        // kept waiting since, must not take their index for one that knows what is written now.
        return file.set_len(NO_INDEX).is_ok().then_some(file);
    }
    // Closing it would drop the locks that another connection of this process holds on the same file. It is closed by
    // execve, or with the process.
    let _ = std::os::fd::IntoRawFd::into_raw_fd(file);
    None
}

#[cfg(not(target_os = "linux"))]
fn lock_alone(_: &CStr) -> Option<File> {
    None
}
