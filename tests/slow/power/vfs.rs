//! A VFS for SQLite that hands everything to the system's own and notes on a [`Tape`](super::tape) what was written,
//! cut off and synced.
//!
//! It is registered as the default, so that the library opens its vaults through it without knowing of it. Of the
//! system's VFS it is a copy in which opening and deleting are ours; a file is ours in front and the system's behind it,
//! in the memory that SQLite gives us for both.
//!
//! `unsafe` stands here alone. All of it is one of two things: a call of the system's function with the arguments that
//! SQLite gave us for it, or a look at memory that SQLite's documentation of `sqlite3_io_methods` and `sqlite3_vfs` says
//! is there for the length of the call.

#![allow(unsafe_code, reason = "a VFS is a table of C functions")]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering};

use rusqlite::ffi::{
    SQLITE_IOERR, SQLITE_OK, sqlite3_file, sqlite3_filename, sqlite3_io_methods, sqlite3_vfs,
    sqlite3_vfs_find, sqlite3_vfs_register,
};

use super::tape::{self, Watch};

/// SQLite's side of the file. The system's file follows in the same memory, at [`BEHIND`].
#[repr(C)]
struct Handle {
    base: sqlite3_file,
    /// Notes what happens to the file, if anybody wants to know.
    watch: Option<Box<Watch>>,
}

const BEHIND: usize = size_of::<Handle>().next_multiple_of(16);

static SYSTEM: AtomicPtr<sqlite3_vfs> = AtomicPtr::new(std::ptr::null_mut());

/// Makes the recording VFS the default of this process.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the default VFS is registered for the life of the process, and so is our copy of it, which is leaked.
        let registered = unsafe {
            let system = sqlite3_vfs_find(std::ptr::null());
            assert!(!system.is_null(), "SQLite has no VFS");
            SYSTEM.store(system, Ordering::SeqCst);
            let ours = Box::new(sqlite3_vfs {
                szOsFile: c_int::try_from(BEHIND).unwrap() + (*system).szOsFile,
                pNext: std::ptr::null_mut(),
                zName: c"recording".as_ptr(),
                xOpen: Some(open),
                xDelete: Some(delete),
                ..*system
            });
            sqlite3_vfs_register(Box::into_raw(ours), 1)
        };
        assert_eq!(registered, SQLITE_OK);
    });
}

fn system() -> *mut sqlite3_vfs {
    SYSTEM.load(Ordering::SeqCst)
}

/// A path as SQLite gives it; none for a temporary file.
///
/// # Safety
/// `name` is null or ends with a zero.
unsafe fn path_of<'n>(name: *const c_char) -> Option<&'n Path> {
    // SAFETY: as the caller says.
    let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })?;
    Some(Path::new(OsStr::from_bytes(name.to_bytes())))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let handle = file.cast::<Handle>();
    // SAFETY: SQLite gives `szOsFile` bytes, which are enough for both; nothing of ours is in them yet. A file without
    // methods is one that SQLite does not close.
    unsafe {
        (&raw mut (*handle).base.pMethods).write(std::ptr::null());
        (&raw mut (*handle).watch).write(None);
        let Some(open) = (*system()).xOpen else { return SQLITE_IOERR };
        let code = open(system(), name, behind(file), flags, out);
        if code == SQLITE_OK {
            (*handle).base.pMethods = &raw const METHODS;
            (*handle).watch = path_of(name).and_then(|path| tape::opened(path, flags)).map(Box::new);
        }
        code
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: the arguments are passed on as they came.
    unsafe {
        let Some(delete) = (*system()).xDelete else { return SQLITE_IOERR };
        let code = delete(system(), name, sync_folder);
        if let Some(path) = path_of(name).filter(|_| code == SQLITE_OK) {
            tape::deleted(path, sync_folder != 0);
        }
        code
    }
}

/// The system's file behind ours.
fn behind(file: *mut sqlite3_file) -> *mut sqlite3_file {
    file.wrapping_byte_add(BEHIND)
}

/// Calls the system's method of that name.
macro_rules! system {
    ($file:ident . $method:ident ( $($argument:expr),* )) => {
        // SAFETY: an open file has the system's file behind it, whose methods take what SQLite gave us.
        unsafe {
            let real = behind($file);
            match (*(*real).pMethods).$method {
                Some(method) => method(real, $($argument),*),
                None => SQLITE_IOERR,
            }
        }
    };
}

/// Methods that are the system's and nothing else.
macro_rules! passed_on {
    ($($name:ident = $method:ident ( $($argument:ident : $type:ty),* );)*) => {
        $(unsafe extern "C" fn $name(file: *mut sqlite3_file, $($argument: $type),*) -> c_int {
            system!(file.$method($($argument),*))
        })*
    };
}

passed_on! {
    read = xRead(into: *mut c_void, count: c_int, at: i64);
    size = xFileSize(size: *mut i64);
    lock = xLock(level: c_int);
    unlock = xUnlock(level: c_int);
    reserved = xCheckReservedLock(answer: *mut c_int);
    control = xFileControl(which: c_int, argument: *mut c_void);
    sector = xSectorSize();
    device = xDeviceCharacteristics();
    shared_map = xShmMap(page: c_int, size: c_int, extend: c_int, into: *mut *mut c_void);
    shared_lock = xShmLock(offset: c_int, count: c_int, flags: c_int);
    shared_unmap = xShmUnmap(delete: c_int);
}

unsafe extern "C" fn shared_barrier(file: *mut sqlite3_file) {
    // SAFETY: as for the methods above.
    unsafe {
        let real = behind(file);
        if let Some(barrier) = (*(*real).pMethods).xShmBarrier {
            barrier(real);
        }
    }
}

/// The watch of an open file.
///
/// # Safety
/// `file` is one that [`open`] opened and [`close`] has not closed; SQLite uses a file from one thread at a time.
unsafe fn watch<'f>(file: *mut sqlite3_file) -> Option<&'f mut Watch> {
    // SAFETY: as the caller says.
    unsafe { (*file.cast::<Handle>()).watch.as_deref_mut() }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, count: c_int, at: i64) -> c_int {
    let code = system!(file.xWrite(from, count, at));
    // SAFETY: the file is open, and `from` has `count` bytes.
    unsafe {
        if let Some(watch) = watch(file).filter(|_| code == SQLITE_OK) {
            let bytes = std::slice::from_raw_parts(from.cast(), usize::try_from(count).unwrap());
            watch.wrote(usize::try_from(at).unwrap(), bytes);
        }
    }
    code
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: i64) -> c_int {
    let code = system!(file.xTruncate(length));
    // SAFETY: the file is open.
    if let Some(watch) = unsafe { watch(file) }.filter(|_| code == SQLITE_OK) {
        watch.cut(usize::try_from(length).unwrap());
    }
    code
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    let code = system!(file.xSync(flags));
    // SAFETY: the file is open.
    if let Some(watch) = unsafe { watch(file) }.filter(|_| code == SQLITE_OK) {
        watch.synced();
    }
    code
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let code = system!(file.xClose());
    // SAFETY: SQLite does not use the file again, so what we keep in its memory has to go now.
    drop(unsafe { (*file.cast::<Handle>()).watch.take() });
    code
}

/// Version 2: without the memory mapping of files, past which SQLite would read.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(device),
    xShmMap: Some(shared_map),
    xShmLock: Some(shared_lock),
    xShmBarrier: Some(shared_barrier),
    xShmUnmap: Some(shared_unmap),
    xFetch: None,
    xUnfetch: None,
};
