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

// Pages of 16 KiB (macOS on ARM) round up further than the file alignment; munmap needs whole ones.
constexpr size_t kMapUnit = 16384;

size_t RoundUp(size_t size) { return (size + kMapUnit - 1) & ~(kMapUnit - 1); }

uint8_t* AllocatePages(size_t size) {
  void* at =
      mmap(nullptr, RoundUp(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<uint8_t*>(at);
}

void FreePages(uint8_t* data, size_t size) { munmap(data, RoundUp(size)); }

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
