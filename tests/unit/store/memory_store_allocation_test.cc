// Reading allocates nothing. Sanitizers bring operators of their own, so it is not counted under them.
#if defined(__has_feature)  // clang's way to say what GCC says by __SANITIZE_ADDRESS__
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLUICE_SANITIZED
#endif
#endif

#if !defined(__SANITIZE_ADDRESS__) && !defined(SLUICE_SANITIZED)
#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include "store/memory_store.h"

using namespace sluice;
using namespace sluice::store;

namespace {
thread_local size_t allocations_made = 0;
}  // namespace

void* operator new(size_t size) {
  ++allocations_made;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

TEST_CASE("reading what is there allocates nothing, once a thread has its buffers") {
  MemoryStore store({});
  const std::string key(200, 'k');
  const std::string value(2'000, 'v');
  store.submit({.operation = Operation::put, .key = key, .value = value, .ttl = Seconds(60)}, nullptr);
  struct Reader {
    MemoryStore& store;
    std::string_view key;
    int depth = 0;
    size_t bytes = 0;
    Call call{[](void* owner, const Outcome& outcome) {
                auto& self = *static_cast<Reader*>(owner);
                self.bytes += outcome.value.size();
                if (++self.depth < 3)
                  self.store.submit({.operation = Operation::touch, .key = self.key, .ttl = Seconds(60)}, &self.call);
              },
              this};
  } reader{store, key};
  size_t allocations = 0;
  for (int i = 0; i < 100; ++i) {
    reader.depth = 0;
    const size_t before = allocations_made;
    store.submit({.operation = Operation::get, .key = key}, &reader.call);
    if (i > 0) allocations += allocations_made - before;
  }
  CHECK(reader.bytes == size_t{100} * 3 * 2'000);
  CHECK(allocations == 0);
}
#endif
