// Byte-range locks on Windows. They belong to a handle and are dropped with it, as wanted, but they
// are mandatory: other handles cannot read or write a locked byte. So the byte that stands for
// position p lies far behind every file's end, at 2^62 + p, where nobody reads.
#ifdef _WIN32

#include <windows.h>

#include <cerrno>

#include "file.h"

namespace sop {

namespace {

constexpr uint64_t kFarAway = uint64_t{1} << 62;
// Together as long as a process may be off the processor between taking a lock and giving it back.
constexpr int kTries = 10;
constexpr DWORD kPauseMs = 10;

HANDLE AsHandle(intptr_t descriptor) { return reinterpret_cast<HANDLE>(descriptor); }

OVERLAPPED PlaceOf(uint64_t position) {
  OVERLAPPED place = {};
  place.Offset = static_cast<DWORD>((kFarAway + position) & 0xffffffff);
  place.OffsetHigh = static_cast<DWORD>((kFarAway + position) >> 32);
  return place;
}

// 1 taken, 0 refused, or the failure.
Result Take(HANDLE file, uint64_t position, bool exclusive) {
  OVERLAPPED place = PlaceOf(position);
  place.hEvent = CreateEventW(nullptr, TRUE, FALSE, nullptr);
  if (place.hEvent == nullptr) return LastFailure();
  DWORD flags = LOCKFILE_FAIL_IMMEDIATELY | (exclusive ? LOCKFILE_EXCLUSIVE_LOCK : 0);
  BOOL taken = LockFileEx(file, flags, 0, 1, 0, &place);
  DWORD unused = 0;
  if (!taken && GetLastError() == ERROR_IO_PENDING)
    taken = GetOverlappedResult(file, &place, &unused, TRUE);
  DWORD error = taken ? ERROR_SUCCESS : GetLastError();
  CloseHandle(place.hEvent);
  if (taken) return 1;
  SetLastError(error);
  return error == ERROR_LOCK_VIOLATION ? 0 : LastFailure();
}

// As `Take`, but not put off by who only asks (`IsLockedByOther`) and has the byte for an instant.
Result TakeFirmly(HANDLE file, uint64_t position, bool exclusive) {
  Result result = Take(file, position, exclusive);
  for (int i = 1; result == 0 && exclusive && i < kTries; i++) {
    Sleep(kPauseMs);
    result = Take(file, position, exclusive);
  }
  return result;
}

Result GiveBack(HANDLE file, uint64_t position) {
  OVERLAPPED place = PlaceOf(position);
  return UnlockFileEx(file, 0, 1, 0, &place) || GetLastError() == ERROR_NOT_LOCKED ? 0
                                                                                   : LastFailure();
}

}  // namespace

File::HeldLock* File::FindLock(uint64_t position) {
  for (HeldLock& lock : locks_) {
    if (lock.position == position) return &lock;
  }
  return nullptr;
}

void File::ForgetLock(uint64_t position) {
  std::erase_if(locks_, [position](const HeldLock& lock) { return lock.position == position; });
}

// A handle conflicts with itself, so a lock that is held is changed by giving it back first.
// Between the two somebody else may come; a refused change takes the old kind again, and where even
// that fails, the lock is lost and said to be.
Result File::TryLock(bool exclusive, uint64_t position) {
  HANDLE file = AsHandle(descriptor_);
  HeldLock* held = FindLock(position);
  if (held == nullptr) {
    Result result = TakeFirmly(file, position, exclusive);
    if (result == 1) locks_.push_back({position, exclusive});
    return result;
  }
  if (held->exclusive == exclusive) return 1;
  bool before = held->exclusive;
  Result given = GiveBack(file, position);
  if (given < 0) return given;
  Result result = TakeFirmly(file, position, exclusive);
  if (result == 1) {
    held->exclusive = exclusive;
    return 1;
  }
  if (Take(file, position, before) == 1) return result;
  ForgetLock(position);
  return Failure(ENOLCK);
}

Result File::Unlock(uint64_t position) {
  if (FindLock(position) == nullptr) return 0;
  ForgetLock(position);
  return GiveBack(AsHandle(descriptor_), position);
}

Result File::IsLockedByOther(uint64_t position) {
  // While this File holds the byte, nobody else can hold it exclusively.
  if (FindLock(position) != nullptr) return 0;
  // A lock cannot be asked about, only tried: a shared one for an instant.
  Result taken = Take(AsHandle(descriptor_), position, false);
  if (taken < 0) return taken;
  if (taken == 0) return 1;
  Result given = GiveBack(AsHandle(descriptor_), position);
  return given < 0 ? given : 0;
}

}  // namespace sop

#endif  // _WIN32
