#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace sluice {

void assert_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "sluice: assertion failed: %s (%s:%d). This is a bug; please report it.\n", condition, file,
               line);
  std::abort();
}

}  // namespace sluice
