#include "proxy/client.h"

#include "proxy/engine.h"

namespace sluice::proxy {

Client::Client(Downstream& connection, event::Loop& loop)
    : connection_(connection),
      loop_(loop),
      timer_(
          loop.timers(), [](void* self) { static_cast<Client*>(self)->on_timer(); }, this) {}

void Client::arm(Millis after, Reason reason) {
  timer_reason_ = reason;
  timer_.set(loop_.now() + after);
}

}  // namespace sluice::proxy
