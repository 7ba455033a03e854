#include "aligned_buffer.h"

#include "file.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <sys/mman.h>
#endif

namespace sop {

namespace {

#ifdef _WIN32

uint8_t* AllocatePages(size_t size) {
  // Zeroed and aligned to 64 KiB by contract.
  return static_cast<uint8_t*>(
      VirtualAlloc(nullptr, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
}

void FreePages(uint8_t* data, size_t) { VirtualFree(data, 0, MEM_RELEASE); }

#else

constexpr size_t kHugePage = size_t{2} << 20;

size_t RoundUp(size_t size, size_t to) { return (size + to - 1) & ~(to - 1); }

uint8_t* Map(size_t size) {
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<uint8_t*>(at);
}

// Pages of 16 KiB (macOS on ARM) round up further than the file alignment; munmap needs whole ones.
constexpr size_t kMapUnit = 16384;

uint8_t* AllocatePages(size_t size) {
  size_t rounded = RoundUp(size, kMapUnit);
  if (rounded < kHugePage) return Map(rounded);
  // Map a huge page more than needed and give back what lies outside the aligned part.
  uint8_t* start = Map(rounded + kHugePage);
  if (start == nullptr) return nullptr;
  size_t skip =
      RoundUp(reinterpret_cast<uintptr_t>(start), kHugePage) - reinterpret_cast<uintptr_t>(start);
  if (skip > 0) munmap(start, skip);
  if (skip < kHugePage) munmap(start + skip + rounded, kHugePage - skip);
#ifdef MADV_HUGEPAGE
  madvise(start + skip, rounded, MADV_HUGEPAGE);
#endif
  return start + skip;
}

void FreePages(uint8_t* data, size_t size) { munmap(data, RoundUp(size, kMapUnit)); }

#endif

void ReleaseExternal(napi_env, void* data, void* hint) {
  FreePages(static_cast<uint8_t*>(data), reinterpret_cast<size_t>(hint));
}

napi_value ViewOf(napi_env env, napi_value buffer, size_t offset, size_t size) {
  napi_value view;
  return napi_create_typedarray(env, napi_uint8_array, size, buffer, offset, &view) == napi_ok
             ? view
             : nullptr;
}

napi_value WithSlack(napi_env env, size_t size) {
  void* data = nullptr;
  napi_value buffer;
  if (napi_create_arraybuffer(env, size + kAlignment - 1, &data, &buffer) != napi_ok)
    return nullptr;
  size_t offset =
      (kAlignment - (reinterpret_cast<uintptr_t>(data) & (kAlignment - 1))) & (kAlignment - 1);
  return ViewOf(env, buffer, offset, size);
}

}  // namespace

AlignedMemory::AlignedMemory(size_t size) : data_(AllocatePages(size)), size_(size) {}

AlignedMemory::~AlignedMemory() {
  if (data_ != nullptr) FreePages(data_, size_);
}

napi_value NewAlignedArray(napi_env env, size_t size) {
  if (size == 0) return WithSlack(env, 0);
  uint8_t* data = AllocatePages(size);
  if (data == nullptr) return nullptr;
  napi_value buffer;
  void* hint = reinterpret_cast<void*>(size);
  napi_status status =
      napi_create_external_arraybuffer(env, data, size, ReleaseExternal, hint, &buffer);
  if (status == napi_ok) return ViewOf(env, buffer, 0, size);
  FreePages(data, size);
  return WithSlack(env, size);
}

}  // namespace sop
