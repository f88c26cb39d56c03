// Slices: where the time of one exchange went. Points in time are taken from the loop's clock (one reading per turn).
#pragma once

#include "base/clock.h"

namespace sluice::proxy {

struct Slices {
  MonoTime began;       // first byte of the request
  MonoTime head_read;   // its head was complete
  MonoTime try_began;   // a connection was asked for, last try
  MonoTime leased;      // and there it was
  MonoTime first_byte;  // head of the response
  MonoTime ended;       // last byte of it was written

  // Microseconds; 0 for what did not happen.
  [[nodiscard]] int64_t read_head() const { return between(began, head_read); }
  [[nodiscard]] int64_t wait_connection() const { return between(try_began, leased); }
  [[nodiscard]] int64_t upstream_first_byte() const { return between(leased, first_byte); }
  [[nodiscard]] int64_t response() const { return between(first_byte, ended); }
  [[nodiscard]] int64_t total() const { return between(began, ended); }

 private:
  static int64_t between(MonoTime from, MonoTime to) {
    return from == MonoTime() || to < from ? 0 : (to - from).count();
  }
};

}  // namespace sluice::proxy
