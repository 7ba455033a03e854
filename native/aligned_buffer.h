// Page-aligned, zeroed memory that is allocated once and reused.
//
// Fresh memory costs 1-3 us per 4 KiB page on first touch. Huge pages (MADV_HUGEPAGE) made random
// reads over 96 MiB a quarter faster (33 to 45 ns each), but a first touch then clears 2 MiB at
// once, 5 ms where the machine has to find the memory: as long as opening a database may take in
// all. So they are not asked for.
//
// Thread-safety: AlignedMemory is owned by one thread; NewAlignedArray belongs to the JavaScript
// thread.
#ifndef SOP_NATIVE_ALIGNED_BUFFER_H_
#define SOP_NATIVE_ALIGNED_BUFFER_H_

#include <node_api.h>

#include <cstddef>
#include <cstdint>

namespace sop {

class AlignedMemory {
 public:
  explicit AlignedMemory(size_t size);
  ~AlignedMemory();
  AlignedMemory(const AlignedMemory&) = delete;
  AlignedMemory& operator=(const AlignedMemory&) = delete;

  // Null where the memory is not to be had.
  uint8_t* data() const { return data_; }

 private:
  uint8_t* data_;
  size_t size_;
};

// A Uint8Array of `size` bytes over such memory; null where there is none. Where the runtime
// forbids external memory (a V8 with a pointer cage, as in Electron) it is a view into an ordinary
// ArrayBuffer with slack.
napi_value NewAlignedArray(napi_env env, size_t size);

}  // namespace sop

#endif  // SOP_NATIVE_ALIGNED_BUFFER_H_
