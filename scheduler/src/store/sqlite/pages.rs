//! A checksum on every page of the database file.
//!
//! Checksums of blobs find what has changed within a row. They do not find a row that has vanished because the page
//! around it was damaged: a flipped bit in a page's count of cells, in an index, or in a pointer makes SQLite overlook
//! rows without a word. So each page ends in eight bytes that SQLite leaves to us (its "reserved bytes"): the XXH3 of
//! the page's number and content. They are written when a page goes into the database file and compared when it comes
//! out of it; the log has checksums of SQLite's own. A page that does not match is an error, `SQLITE_IOERR_DATA`.
//!
//! SQLite is made to do this through its own extension point, a VFS: ours is the platform's with another `open`, which
//! exchanges `read` and `write` of database files and leaves all else (locks, shared memory, syncs) as it is. That is a
//! C interface, and the one place of this crate with unsafe code.
#![allow(unsafe_code, reason = "SQLite's file interface is C, and this is its only binding here")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use parking_lot::Mutex;
use rusqlite::ffi;
use twox_hash::XxHash3_64;

use crate::store::StoreError;

/// The name under which connections ask for checked pages.
pub(super) const VFS: &CStr = c"durawasm";

/// The size of all pages: part of the format, because a page can only be checked as a whole.
pub(super) const PAGE: usize = 4_096;

/// What a checksum takes at the end of a page.
pub(super) const RESERVED: usize = 8;

/// Where SQLite's header, at the head of the first page, says what a page is: size (big-endian) and reserved bytes.
const HEADER_MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER_PAGE_SIZE: std::ops::Range<usize> = 16..18;
const HEADER_RESERVED: usize = 20;

/// The platform's VFS.
struct Platform(NonNull<ffi::sqlite3_vfs>);

// SAFETY: SQLite registers it for the life of the process and uses it from all threads itself.
unsafe impl Send for Platform {}
// SAFETY: as above; it is only read here.
unsafe impl Sync for Platform {}

static PLATFORM: OnceLock<Option<Platform>> = OnceLock::new();

/// Makes the VFS known to SQLite, once per process.
pub(super) fn register() -> Result<(), StoreError> {
    let platform = PLATFORM.get_or_init(|| {
        // SAFETY: initialising SQLite and asking for its default VFS have no preconditions. The new VFS and its name live
        // for ever, as SQLite demands of what is registered; it is a copy of a valid one but for name, links and `open`.
        unsafe {
            if ffi::sqlite3_initialize() != ffi::SQLITE_OK {
                return None;
            }
            let platform = NonNull::new(ffi::sqlite3_vfs_find(ptr::null()))?;
            let ours = ffi::sqlite3_vfs {
                pNext: ptr::null_mut(),
                zName: VFS.as_ptr(),
                xOpen: Some(open),
                ..*platform.as_ptr()
            };
            let registered = ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 0);
            (registered == ffi::SQLITE_OK).then_some(Platform(platform))
        }
    });
    match platform {
        Some(_) => Ok(()),
        None => Err(StoreError::Io("SQLite could not be started on this system".into())),
    }
}

/// The platform's methods of a file, with ours in front. SQLite reaches it through the first field, we reach the second.
#[repr(C)]
struct Methods {
    checked: ffi::sqlite3_io_methods,
    platform: &'static ffi::sqlite3_io_methods,
}

/// One for each table of the platform (there is one, or few).
static METHODS: Mutex<Vec<&'static Methods>> = Mutex::new(Vec::new());

impl Methods {
    fn over(platform: &'static ffi::sqlite3_io_methods) -> &'static Self {
        let mut known = METHODS.lock();
        if let Some(methods) = known.iter().find(|methods| ptr::eq(methods.platform, platform)) {
            return methods;
        }
        // Version 2 is without memory mapping, which would go past `read`.
        let version = platform.iVersion.min(2);
        let checked =
            ffi::sqlite3_io_methods { iVersion: version, xRead: Some(read), xWrite: Some(write), ..*platform };
        let methods = Box::leak(Box::new(Self { checked, platform }));
        known.push(methods);
        methods
    }

    /// The methods of a file that [`open`] has prepared.
    ///
    /// # Safety
    /// The file must be open, and its methods those of [`Methods::over`].
    unsafe fn of(file: *mut ffi::sqlite3_file) -> &'static Self {
        // SAFETY: by the caller's word `pMethods` points to the first field of a leaked `Methods`, which is `repr(C)`.
        unsafe { &*(*file).pMethods.cast::<Self>() }
    }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let Some(Some(Platform(platform))) = PLATFORM.get() else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: SQLite's arguments go to the platform's `open` as they came, with the VFS that it belongs to. The memory of
    // `file` is as large as the platform wants it: our VFS has its `szOsFile`. A method table is static by SQLite's rules.
    unsafe {
        let Some(platform_open) = platform.as_ref().xOpen else { return ffi::SQLITE_CANTOPEN };
        let opened = platform_open(platform.as_ptr(), name, file, flags, out_flags);
        if opened == ffi::SQLITE_OK && flags & ffi::SQLITE_OPEN_MAIN_DB != 0 && !(*file).pMethods.is_null() {
            (*file).pMethods = &raw const Methods::over(&*(*file).pMethods).checked;
        }
        opened
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite calls this for files that `open` has prepared, with a buffer of `amount` bytes, which the platform's
    // `read` has filled when it answers OK.
    unsafe {
        let Some(platform_read) = Methods::of(file).platform.xRead else { return ffi::SQLITE_IOERR_READ };
        let Ok(len) = usize::try_from(amount) else { return ffi::SQLITE_IOERR_READ };
        // Of a page that continues a long row, SQLite reads only as much as it needs. It is checked as a whole.
        let is_part = len < PAGE && offset > 0 && offset % (PAGE as i64) == 0;
        let mut page = [0; PAGE];
        let (target, wanted) = if is_part { (page.as_mut_ptr(), PAGE) } else { (into.cast::<u8>(), len) };
        let answer = platform_read(file, target.cast(), wanted as c_int, offset);
        if is_part {
            ptr::copy_nonoverlapping(target, into.cast::<u8>(), len);
        }
        let content = std::slice::from_raw_parts(target, wanted);
        match answer {
            ffi::SQLITE_OK if !is_as_written(content, offset) => ffi::SQLITE_IOERR_DATA,
            // The file ends before or within this page, and SQLite would take what is missing for noughts. It never reads a page
            // that is not there by right: a page behind the end is in the log, where SQLite looks first, because each page that a
            // transaction adds is written to the log. The one exception is the first page of a file that is still empty.
            ffi::SQLITE_IOERR_SHORT_READ
                if is_page(wanted, offset) && (offset > 0 || content.iter().any(|byte| *byte != 0)) =>
            {
                ffi::SQLITE_IOERR_DATA
            }
            answer => answer,
        }
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite calls this for files that `open` has prepared, with a buffer of `amount` bytes, of which a page is
    // copied before it is changed.
    unsafe {
        let Some(platform_write) = Methods::of(file).platform.xWrite else { return ffi::SQLITE_IOERR_WRITE };
        if !usize::try_from(amount).is_ok_and(|len| is_page(len, offset)) {
            return platform_write(file, from, amount, offset);
        }
        let mut page = *from.cast::<[u8; PAGE]>();
        let checksum = checksum(&page, offset);
        page[PAGE - RESERVED..].copy_from_slice(&checksum);
        platform_write(file, page.as_ptr().cast(), amount, offset)
    }
}

fn is_page(len: usize, offset: i64) -> bool {
    len == PAGE && offset % (PAGE as i64) == 0
}

fn is_as_written(content: &[u8], offset: i64) -> bool {
    if is_page(content.len(), offset) {
        let stored = &content[PAGE - RESERVED..];
        // Noughts are no exception: SQLite would take them for the rest of a long key. No page that it reads is one that was never
        // written; see above.
        return *stored == checksum(content, offset);
    }
    // SQLite looks at its header before it reads pages. The parts that lead to pages of another form cannot change; the
    // rest is checked with the first page.
    if offset == 0 && content.len() > HEADER_RESERVED {
        return content.starts_with(HEADER_MAGIC)
            && content[HEADER_PAGE_SIZE] == (PAGE as u16).to_be_bytes()
            && usize::from(content[HEADER_RESERVED]) == RESERVED;
    }
    // Anything else lies within the header, such as the counter of changes, and tells whether a page must be read again.
    offset.checked_add_unsigned(content.len() as u64).is_some_and(|end| end <= 100)
}

/// The checksum of a page at this place of the file.
fn checksum(page: &[u8], offset: i64) -> [u8; RESERVED] {
    XxHash3_64::oneshot_with_seed(offset.cast_unsigned(), &page[..PAGE - RESERVED]).to_le_bytes()
}
