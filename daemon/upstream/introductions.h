// Introductions: the connections, of all pools, that one client was told of by a PROXY header. They are lent to this client's requests
// only, which find them here and nowhere else, and the idle ones are closed when it goes. Owned by whoever stands for the client's
// connection. Worker thread only.
#pragma once

#include "base/intrusive_list.h"

namespace sluice::upstream {

class Connection;
struct IntroducedTag;

class Introductions {
 public:
  Introductions() = default;
  ~Introductions();

 private:
  friend class Pool;
  IntrusiveList<Connection, IntroducedTag> connections_;
};

}  // namespace sluice::upstream
