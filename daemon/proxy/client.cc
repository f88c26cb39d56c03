#include "proxy/client.h"

#include "proxy/engine.h"

namespace sluice::proxy {

Client::Client(Downstream& connection, Engine& engine)
    : connection_(connection),
      engine_(engine),
      timer_(
          engine.loop().timers(), [](void* self) { static_cast<Client*>(self)->on_timer(); }, this) {}

void Client::arm(Millis after, Reason reason) {
  timer_reason_ = reason;
  timer_.set(engine_.loop().now() + after);
}

}  // namespace sluice::proxy
