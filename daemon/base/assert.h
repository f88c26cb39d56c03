// SL_ASSERT: a cheap invariant, checked in release builds too. Never for bytes that come from a peer.
#pragma once

namespace sluice {
[[noreturn]] void assert_failed(const char* condition, const char* file, int line);
}

#define SL_ASSERT(condition) \
  (__builtin_expect(!(condition), 0) ? ::sluice::assert_failed(#condition, __FILE__, __LINE__) : (void)0)
