// Files on Windows.
//
// Handles are opened for overlapped I/O, because calls on an ordinary handle wait for one another
// inside the kernel; each call here waits for its own end on an event of its own. Sharing is open
// to all (read, write, delete), as on other systems; who may do what is the matter of locks.
#ifdef _WIN32

#include <windows.h>

#include <cerrno>
#include <string>

#include "file.h"

namespace sop {

namespace {

constexpr size_t kMaxTransfer = size_t{1} << 30;

HANDLE AsHandle(intptr_t descriptor) { return reinterpret_cast<HANDLE>(descriptor); }

// The UTF-16 form with the prefix that lifts the limit of 260 characters; the path is absolute
// already.
std::wstring WidePath(const char* path) {
  int count = MultiByteToWideChar(CP_UTF8, 0, path, -1, nullptr, 0);
  if (count <= 1) return std::wstring();
  std::wstring wide(static_cast<size_t>(count), L'\0');
  MultiByteToWideChar(CP_UTF8, 0, path, -1, wide.data(), count);
  wide.resize(static_cast<size_t>(count) - 1);
  for (wchar_t& character : wide) {
    if (character == L'/') character = L'\\';
  }
  if (wide.rfind(L"\\\\?\\", 0) == 0 || wide.rfind(L"\\\\.\\", 0) == 0) return wide;
  if (wide.rfind(L"\\\\", 0) == 0) return L"\\\\?\\UNC\\" + wide.substr(2);
  return L"\\\\?\\" + wide;
}

HANDLE OpenHandle(const std::wstring& path, File::Mode mode, DWORD extra_flags) {
  DWORD access = mode == File::Mode::kRead ? GENERIC_READ : GENERIC_READ | GENERIC_WRITE;
  DWORD sharing = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  DWORD creation = mode == File::Mode::kCreate ? CREATE_NEW : OPEN_EXISTING;
  return CreateFileW(path.c_str(), access, sharing, nullptr, creation,
                     FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED | extra_flags, nullptr);
}

// One transfer and the event it is waited for with.
class Transfer {
 public:
  explicit Transfer(uint64_t position) {
    overlapped_.Offset = static_cast<DWORD>(position & 0xffffffff);
    overlapped_.OffsetHigh = static_cast<DWORD>(position >> 32);
    overlapped_.hEvent = CreateEventW(nullptr, TRUE, FALSE, nullptr);
  }
  ~Transfer() {
    if (overlapped_.hEvent != nullptr) CloseHandle(overlapped_.hEvent);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  bool ready() const { return overlapped_.hEvent != nullptr; }
  OVERLAPPED* get() { return &overlapped_; }

  // Whether the call that answered `started` ended well, and with how many bytes.
  bool Finish(HANDLE file, BOOL started, DWORD* count) {
    if (!started && GetLastError() != ERROR_IO_PENDING) return false;
    return GetOverlappedResult(file, &overlapped_, count, TRUE) != 0;
  }

 private:
  OVERLAPPED overlapped_ = {};
};

DWORD PieceOf(size_t left) { return static_cast<DWORD>(left < kMaxTransfer ? left : kMaxTransfer); }

}  // namespace

Result File::Open(const char* path, Mode mode, bool want_direct, std::shared_ptr<File>* out) {
  std::wstring wide = WidePath(path);
  if (wide.empty()) return Failure(ENOENT);
  HANDLE plain = OpenHandle(wide, mode, 0);
  if (plain == INVALID_HANDLE_VALUE) {
    DWORD error = GetLastError();
    DWORD attributes = GetFileAttributesW(wide.c_str());
    bool folder =
        attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    if (folder) return Failure(mode == Mode::kCreate ? EEXIST : EISDIR);
    SetLastError(error);
    return LastFailure();
  }
  HANDLE main = plain;
  bool direct = false;
  if (want_direct) {
    // The file is there now, so a second opening can find out without leaving anything behind.
    Mode existing = mode == Mode::kRead ? Mode::kRead : Mode::kWrite;
    HANDLE second = OpenHandle(wide, existing, FILE_FLAG_NO_BUFFERING);
    if (second != INVALID_HANDLE_VALUE) {
      CloseHandle(plain);
      main = second;
      direct = true;
    }
  }
  out->reset(new File(reinterpret_cast<Descriptor>(main), kNone, direct));
  return 0;
}

File::~File() { CloseHandle(AsHandle(descriptor_)); }

bool File::FallBackToBuffered() { return false; }

Result File::Size() const {
  LARGE_INTEGER size;
  return GetFileSizeEx(AsHandle(descriptor_), &size) ? size.QuadPart : LastFailure();
}

Result File::ReadFrom(Descriptor descriptor, uint8_t* into, size_t length, uint64_t position) {
  HANDLE file = AsHandle(descriptor);
  size_t done = 0;
  while (done < length) {
    Transfer transfer(position + done);
    if (!transfer.ready()) return LastFailure();
    DWORD count = 0;
    BOOL started = ReadFile(file, into + done, PieceOf(length - done), nullptr, transfer.get());
    if (!transfer.Finish(file, started, &count)) {
      if (GetLastError() == ERROR_HANDLE_EOF) break;
      return LastFailure();
    }
    if (count == 0) break;
    done += count;
    if (direct() && (done & (kAlignment - 1)) != 0) break;
  }
  return static_cast<Result>(done);
}

Result File::Write(const uint8_t* from, size_t length, uint64_t position) {
  if (Misaligned(from, length, position)) return Failure(EINVAL);
  HANDLE file = AsHandle(descriptor_);
  size_t done = 0;
  while (done < length) {
    Transfer transfer(position + done);
    if (!transfer.ready()) return LastFailure();
    DWORD count = 0;
    BOOL started = WriteFile(file, from + done, PieceOf(length - done), nullptr, transfer.get());
    if (!transfer.Finish(file, started, &count)) return LastFailure();
    if (count == 0) return Failure(EIO);
    done += count;
  }
  return 0;
}

Result File::Sync() {
  if (FlushFileBuffers(AsHandle(descriptor_))) return 0;
  // Refused on a handle that only reads, which has nothing to make durable.
  return GetLastError() == ERROR_ACCESS_DENIED ? 0 : LastFailure();
}

Result File::Allocate(uint64_t position, uint64_t length) {
  if (length == 0) return 0;
  HANDLE file = AsHandle(descriptor_);
  FILE_STANDARD_INFO now;
  if (!GetFileInformationByHandleEx(file, FileStandardInfo, &now, sizeof now)) return LastFailure();
  // An allocation below the present one would cut the file.
  LONGLONG end = static_cast<LONGLONG>(position + length);
  if (now.AllocationSize.QuadPart >= end) return 0;
  FILE_ALLOCATION_INFO wanted;
  wanted.AllocationSize.QuadPart = end;
  if (SetFileInformationByHandle(file, FileAllocationInfo, &wanted, sizeof wanted)) return 0;
  Result failure = LastFailure();
  return failure == Failure(ENOTSUP) || failure == Failure(EINVAL) ? 0 : failure;
}

Result File::Truncate(uint64_t size) {
  FILE_END_OF_FILE_INFO end;
  end.EndOfFile.QuadPart = static_cast<LONGLONG>(size);
  HANDLE file = AsHandle(descriptor_);
  return SetFileInformationByHandle(file, FileEndOfFileInfo, &end, sizeof end) ? 0 : LastFailure();
}

// A change of names is part of the file system's own journal; there is no call to wait for it.
Result SyncFolder(const char*) { return 0; }

}  // namespace sop

#endif  // _WIN32
