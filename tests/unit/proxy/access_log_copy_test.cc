#include "proxy/access_log_copy.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <string>

namespace sluice::proxy {
namespace {

TEST_CASE("Every text is copied, and one byte that is not plain is noted, wherever it stands") {
  for (size_t size = 0; size <= 50; ++size) {
    // On the heap and to the byte, so that AddressSanitizer sees a read or write outside.
    const auto in = std::make_unique<char[]>(size);
    const auto out = std::make_unique<char[]>(size);
    for (size_t at = 0; at < std::max<size_t>(size, 1); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::fill_n(in.get(), size, 'a');
        if (size > 0) in[at] = static_cast<char>(byte);
        TextCopier copier;
        copier.copy(out.get(), {in.get(), size});
        if (std::memcmp(in.get(), out.get(), size) != 0 ||
            copier.all_plain() != (size == 0 || is_plain(static_cast<unsigned char>(byte)))) {
          FAIL("byte " << byte << " at " << at << " of " << size);
        }
      }
    }
  }
}

TEST_CASE("What one text of a line held is not forgotten at the next") {
  char out[64];
  for (const char* odd : {"\"", "\n", "\xff", "a long text that holds a \\ somewhere"}) {
    TextCopier copier;
    copier.copy(out, odd);
    copier.copy(out, "plain");
    copier.copy(out, "another plain one, and long");
    CHECK_FALSE(copier.all_plain());
  }
}

}  // namespace
}  // namespace sluice::proxy
