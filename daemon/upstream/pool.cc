#include "upstream/pool.h"

#include "base/log.h"

namespace sluice::upstream {

namespace {
constexpr Millis kLogPause{60'000};  // between two lines about one endpoint's TLS
}  // namespace

EndpointSeries EndpointSeries::intern(stats::SeriesHold& hold, std::string_view cluster, std::string_view endpoint,
                                      bool tls, bool http2) {
  using stats::Family;
  const auto series = [&](Family family) { return hold.intern(family, {cluster, endpoint}); };
  return {.requests = series(Family::upstream_requests),
          .opened = series(Family::upstream_opened),
          .reused = series(Family::upstream_reused),
          .active = series(Family::upstream_active),
          .streams = http2 ? series(Family::upstream_streams) : stats::kSink,
          .idle = series(Family::upstream_idle),
          .pending = series(Family::upstream_pending),
          .connect_failures = series(Family::upstream_connect_failures),
          .response_time = series(Family::upstream_response_time),
          .closed = series(Family::upstream_closed),
          .tls_handshakes = tls ? series(Family::upstream_tls_handshakes) : stats::kSink};
}

Pool::Waiter::Waiter(event::Loop& loop)
    : timer_(
          loop.timers(),
          [](void* self) {
            auto& waiter = *static_cast<Waiter*>(self);
            waiter.leave();
            waiter.on_lease_failed({Reason::pool_wait_timeout, ""});
          },
          this) {}

Pool::Waiter::~Waiter() { leave(); }

void Pool::Waiter::leave() {
  if (pool_ == nullptr) return;
  unlink();
  timer_.cancel();
  introduced_by_ = nullptr;
  --pool_->pending_;
  pool_->shared_.shard.step(pool_->series_.pending, -1);
  pool_ = nullptr;
}

Pool::Pool(const PoolShared& shared, const SocketAddress& address, const snapshot::PoolSpec& spec,
           const snapshot::ClusterTimeouts& timeouts, const EndpointSeries& series, EndpointTls tls,
           http::ProxyVersion proxy_protocol, snapshot::Protocol protocol)
    : shared_(shared),
      address_(address),
      spec_(spec),
      timeouts_(timeouts),
      series_(series),
      tls_(std::move(tls)),
      protocol_(protocol),
      proxy_protocol_(proxy_protocol),
      streams_expected_(protocol == snapshot::Protocol::http1 ? 1 : spec.max_streams) {}

Introductions::~Introductions() {
  while (!connections_.empty()) {
    Connection& connection = connections_.pop_front();
    connection.pool().on_client_gone(connection);
  }
}

Pool::~Pool() {
  while (!waiters_.empty()) waiters_.front().leave();
  const Reason reason = retired_ ? Reason::pool_surplus : Reason::shutting_down;
  while (!idle_.empty()) on_idle_closed(idle_.front(), reason);
  while (!roomy_.empty()) discard(roomy_.front(), reason);
  while (!busy_.empty()) discard(busy_.front(), reason);
}

Result<Carrier*> Pool::acquire(Waiter& waiter, bool fresh) {
  shared_.shard.add(series_.requests);
  if (Connection* connection = fresh ? nullptr : find_room(waiter)) {
    shared_.shard.add(series_.reused);
    return &lend(*connection, waiter);
  }
  if (awaits_enough() || may_open()) {
    Result<void> opened = awaits_enough() ? Result<void>() : open_connection();
    if (!opened) return opened.error();
    enqueue(waiter, timeouts_.connect + spec_.pending_timeout);
    return static_cast<Carrier*>(nullptr);
  }
  if (pending_ >= spec_.max_pending) return Error{Reason::pool_queue_full, ""};
  enqueue(waiter, spec_.pending_timeout);
  return static_cast<Carrier*>(nullptr);
}

// `connection`, which has room, begins to serve `waiter`.
Carrier& Pool::lend(Connection& connection, Waiter& waiter) {
  ++leased_;
  Http2Connection* http2 = connection.http2();
  if (http2 == nullptr || http2->streams() == 0) {
    take_from_idle(connection);
    busy_.push_back(connection);
    shared_.shard.step(series_.active, 1);
  }
  Carrier& carrier = connection.lease(waiter.user(), waiter.request_method());
  if (http2 == nullptr) return carrier;
  shared_.shard.step(series_.streams, 1);
  place(connection);
  return carrier;
}

// With a PROXY protocol those that idle are of use to their own clients only; the one that did so longest gives way.
bool Pool::may_open() {
  if (open_ < spec_.max_open) return true;
  if (!introduces() || idle_.empty()) return false;
  on_idle_closed(idle_.back(), Reason::pool_surplus);
  return true;
}

// Its client has few: at each endpoint not more than it ever had requests there at a time.
Connection* Pool::find_introduced(const Waiter& waiter) {
  Introductions* own = waiter.introductions();
  if (own == nullptr) return nullptr;
  for (Connection& connection : own->connections_) {
    if (&connection.pool() == this && connection.is_idle()) return &connection;
  }
  return nullptr;
}

// One that carries streams already is filled first; else the most recently used idle one.
Connection* Pool::find_room(const Waiter& waiter) {
  if (introduces()) return find_introduced(waiter);
  while (!roomy_.empty()) {
    Connection& connection = roomy_.front();
    if (has_room(connection)) return &connection;
    place(connection);  // it grew too old
  }
  while (!idle_.empty()) {
    Connection& connection = idle_.front();
    if (connection.http2() == nullptr || has_room(connection)) return &connection;
    on_idle_closed(connection, Reason::upstream_closed_idle);
  }
  return nullptr;
}

bool Pool::has_room(Connection& connection) const { return connection.http2()->room() > 0 && !worn_out(connection); }

// Of HTTP/2, and leased.
void Pool::place(Connection& connection) {
  connection.Pooled::unlink();
  (has_room(connection) ? roomy_ : busy_).push_front(connection);
}

// One more who waits has a place on a connection that is being made; only connections of HTTP/2 have more than the one for whom
// they are made.
bool Pool::awaits_enough() const {
  return streams_expected_ > 1 && pending_ < uint64_t{connecting_} * streams_expected_;
}

void Pool::take_from_idle(Connection& connection) {
  connection.Pooled::unlink();
  --idle_count_;
  shared_.shard.step(series_.idle, -1);
}

void Pool::enqueue(Waiter& waiter, Millis wait) {
  SL_ASSERT(waiter.pool_ == nullptr);
  waiter.pool_ = this;
  waiters_.push_back(waiter);
  ++pending_;
  shared_.shard.step(series_.pending, 1);
  waiter.timer_.set(shared_.loop.now() + wait);
}

Result<void> Pool::open_connection() {
  auto connection = std::make_unique<Connection>(*this, shared_.loop);
  if (Result<void> started = connection->connect(address_); !started) {
    shared_.shard.add(series_.connect_failures);
    return started;
  }
  connection->arm(timeouts_.connect, Reason::connect_timeout);
  busy_.push_back(*connection.release());  // owned through the lists from here on
  ++open_;
  ++connecting_;
  return {};
}

std::unique_ptr<event::Transport> Pool::make_transport(int fd) {
  return tls_.context->connect(fd, tls_.server_name, &sessions_);
}

void Pool::on_connected(Connection& connection) {
  --connecting_;
  shared_.shard.add(series_.opened);
  if (const event::Transport* transport = connection.stream().transport()) {
    const auto session = transport->resumed() ? stats::TlsSession::resumed : stats::TlsSession::full;
    shared_.shard.add(stats::pick(series_.tls_handshakes, session));
  }
  streams_expected_ = connection.http2() == nullptr ? 1 : std::max(connection.http2()->max_streams(), 1u);
  introduces() ? lend_to_introduced(connection) : keep_or_discard(connection);
  serve_waiters();
}

// Whom nobody was introduced for.
Pool::Waiter* Pool::waiter_of(const Connection* introducer) {
  for (Waiter& waiter : waiters_) {
    if (waiter.introduced_by_ == introducer) return &waiter;
  }
  return nullptr;
}

bool Pool::introduce(Connection& connection) {
  if (!introduces()) return true;
  Waiter* waiter = waiter_of(nullptr);
  if (waiter == nullptr) {
    --connecting_;
    discard(connection, Reason::pool_surplus);  // who wanted it went away
    return false;
  }
  const std::string header = http::write_proxy_header(proxy_protocol_, waiter->proxy_header());
  const event::IoResult sent = connection.stream().write(header);
  if (sent.status != event::IoStatus::ok || sent.bytes != header.size()) {
    on_connect_failed(connection, {Reason::connect_failed, "it took no PROXY protocol header"});
    return false;
  }
  waiter->introduced_by_ = &connection;
  return true;
}

void Pool::lend_to_introduced(Connection& connection) {
  Waiter* waiter = waiter_of(&connection);
  if (waiter == nullptr) return discard(connection, Reason::pool_surplus);
  waiter->leave();
  if (Introductions* own = waiter->introductions()) own->connections_.push_front(connection);
  make_idle(connection);
  waiter->on_lease(lend(connection, *waiter));
}

void Pool::on_connect_failed(Connection& connection, Error error) {
  --connecting_;
  shared_.shard.add(series_.connect_failures);
  if (error.reason == Reason::tls_handshake_failed) on_tls_failed(error.detail);
  sessions_.clear();  // also if it took too long: perhaps since it took up a session
  const bool introduced = introduces() && connection.is_securing();
  Waiter* waiter = waiter_of(introduced ? &connection : nullptr);
  discard(connection, error.reason);
  // Each waiter that found no idle connection started one, so this failure belongs to whoever waits longest; or to all whom it was
  // to carry, unless others live that may.
  for (uint32_t left = std::min(pending_, open_ > connecting_ ? 1 : streams_expected_); left > 0 && waiter != nullptr;
       --left) {
    waiter->leave();
    waiter->on_lease_failed(error);
    waiter = waiter_of(nullptr);
  }
  serve_waiters();
}

// Every request may fail by it, so that not each of them is worth a line.
void Pool::on_tls_failed(const char* why) {
  if (shared_.loop.now() < quiet_until_) return;
  quiet_until_ = shared_.loop.now() + kLogPause;
  log::warn("upstream endpoint {} ({}): TLS handshake failed: {}", address_.to_string(), tls_.server_name, why);
}

void Pool::release(Connection& connection, Reason reason) {
  SL_ASSERT(leased_ > 0);
  --leased_;
  shared_.shard.step(series_.active, -1);
  if (!connection.reusable()) {
    discard(connection, reason);
  } else if (worn_out(connection)) {
    discard(connection, Reason::pool_lifetime);
  } else {
    keep_or_discard(connection);
  }
  serve_waiters();
}

// It makes room for another one now, however long its last client takes.
void Pool::on_died(Connection& connection, Reason reason) {
  shared_.shard.step(series_.active, -1);
  count_out(connection, reason);
  place(connection);
  serve_waiters();
}

void Pool::on_stream_over(Connection& connection, Reason reason) {
  SL_ASSERT(leased_ > 0);
  --leased_;
  shared_.shard.step(series_.streams, -1);
  Http2Connection& http2 = *connection.http2();
  if (http2.streams() > 0) {
    place(connection);
  } else {
    if (connection.counted_) shared_.shard.step(series_.active, -1);
    if (!http2.is_usable()) {
      discard(connection, http2.end_reason() != Reason::none ? http2.end_reason() : reason);
    } else if (worn_out(connection)) {
      discard(connection, Reason::pool_lifetime);
    } else {
      keep_or_discard(connection);
    }
  }
  serve_waiters();
}

void Pool::on_room_changed(Connection& connection) {
  Http2Connection& http2 = *connection.http2();
  if (http2.max_streams() > 0) streams_expected_ = http2.max_streams();
  if (http2.streams() > 0) {
    place(connection);
  } else if (!http2.is_usable()) {
    on_idle_closed(connection, Reason::upstream_closed_idle);
  }
  serve_waiters();
}

// Who waits gets it; else it stays if it has a place among the idle ones. What was introduced waits for its own client only.
void Pool::keep_or_discard(Connection& connection) {
  const bool awaited = !waiters_.empty() && !introduces();
  if (!awaited && (retired_ || idle_count_ >= spec_.max_idle)) return discard(connection, Reason::pool_surplus);
  if (introduces() && !connection.Introduced::linked()) return discard(connection, Reason::keepalive_done);
  make_idle(connection);
}

void Pool::make_idle(Connection& connection) {
  connection.Pooled::unlink();
  idle_.push_front(connection);
  ++idle_count_;
  shared_.shard.step(series_.idle, 1);
  connection.become_idle(idle_for(connection));
}

// Gives idle connections to those who wait, and opens more where there is room. Who waits with a PROXY protocol does so for a
// connection that is being made, or to be made: the others are not looked through for one of their own each time.
void Pool::serve_waiters() {
  while (!waiters_.empty() && !introduces()) {
    Connection* connection = find_room(waiters_.front());
    if (connection == nullptr) break;
    Waiter& waiter = waiters_.front();
    waiter.leave();
    waiter.on_lease(lend(*connection, waiter));
  }
  while (uint64_t{connecting_} * streams_expected_ < pending_ && may_open()) {
    Result<void> opened = open_connection();
    if (opened) continue;
    Waiter* waiter = waiter_of(nullptr);
    waiter->leave();
    waiter->on_lease_failed(opened.error());
  }
}

bool Pool::worn_out(const Connection& connection) const {
  if (spec_.max_requests != 0 && connection.served() >= spec_.max_requests) return true;
  return spec_.max_lifetime.count() != 0 && idle_for(connection).count() <= 0;
}

// What is left of the idle time, cut by the connection's lifetime, whose jitter of ±10 % comes from its own address: a
// fleet of connections opened together does not close together.
Millis Pool::idle_for(const Connection& connection) const {
  if (spec_.max_lifetime.count() == 0) return spec_.idle_timeout;
  const auto seed = reinterpret_cast<uintptr_t>(&connection) * 0x9e3779b97f4a7c15;
  const Micros lifetime = Micros(spec_.max_lifetime) / 1000 * (900 + static_cast<int64_t>((seed >> 40) % 201));
  const Micros left = connection.opened_at() + lifetime - shared_.loop.now();
  return std::min(spec_.idle_timeout, std::chrono::duration_cast<Millis>(left));
}

void Pool::on_idle_closed(Connection& connection, Reason reason) {
  take_from_idle(connection);
  discard(connection, reason);
}

void Pool::on_client_gone(Connection& connection) {
  if (connection.is_idle()) on_idle_closed(connection, Reason::keepalive_done);
}

void Pool::on_idle_over(Connection& connection) {
  on_idle_closed(connection, worn_out(connection) ? Reason::pool_lifetime : Reason::pool_idle);
}

// No longer among those that are open.
void Pool::count_out(Connection& connection, Reason reason) {
  if (!std::exchange(connection.counted_, false)) return;
  shared_.shard.add(stats::pick(series_.closed, reason));
  --open_;
}

void Pool::discard(Connection& connection, Reason reason) {
  count_out(connection, reason);
  connection.Pooled::unlink();
  connection.close();
  shared_.loop.defer_delete(std::unique_ptr<event::Deferred>(&connection));
}

void Pool::retire() {
  retired_ = true;
  while (!idle_.empty()) on_idle_closed(idle_.front(), Reason::pool_surplus);
}

}  // namespace sluice::upstream
