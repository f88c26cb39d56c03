#include "store/redis_connection.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/format.h"

namespace sluice::store {

namespace {
constexpr Millis kFirstRetry{10};
constexpr Millis kSlowestRetry{500};        // so that a server that is back is found within a second
constexpr Millis kGreetingPatience{1'000};  // to connect, to agree on TLS and to greet
constexpr size_t kKeepBytes = size_t{256} << 10;
constexpr size_t kCompactBytes = size_t{16} << 10;
constexpr std::string_view kTrialKey = "sluice";
constexpr std::string_view kNotValid = "what it answered is not valid";
}  // namespace

RedisConnection::RedisConnection(const RedisShared& shared, User& user, const RedisGreeting& greeting, Millis patience)
    : shared_(shared),
      user_(user),
      greeting_(greeting),
      patience_(patience),
      timer_(
          shared.loop.timers(), [](void* self) { static_cast<RedisConnection*>(self)->on_timer(); }, this) {}

RedisConnection::~RedisConnection() { SL_ASSERT(queue_.empty()); }

void RedisConnection::connect(const SocketAddress& address) {
  close();
  address_ = address;
  failures_ = 0;
  start();
}

void RedisConnection::close() {
  disconnect();
  state_ = State::idle;
}

void RedisConnection::start() {
  state_ = State::connecting;
  if (const Result<void> started = stream_.connect(shared_.loop, address_, *this); !started) {
    return reconnect(started.error().detail);
  }
  timer_.set(shared_.loop.now() + kGreetingPatience);
}

// Everything that is queued goes back to the user, who may queue it elsewhere at once.
void RedisConnection::disconnect() {
  ++lives_;
  stream_.close();
  timer_.cancel();
  reader_.reset();
  state_ = State::waiting;
  const uint64_t sent = sent_;
  RedisQueue lost;
  lost.take_all(queue_);
  queued_ = 0;
  output_.clear();
  if (output_.capacity() > kKeepBytes) output_.shrink_to_fit();
  output_begin_ = released_ = sent_ = 0;
  while (!lost.empty()) {
    RedisRequest& request = lost.pop_front();
    request.connection = nullptr;
    if (request.is_greeting()) {
      shared_.requests.reclaim(&request);
      continue;
    }
    user_.on_lost_request(request, request.begin < sent);
  }
}

void RedisConnection::reconnect(std::string_view why) {
  if (state_ == State::ready) ++shared_.figures.reconnects;
  disconnect();
  timer_.set(shared_.loop.now() + back_off());
  user_.on_lost(*this, why);
}

// Doubles from one attempt to the next; the upper half of it at random, so that workers and gateways do not come together.
Millis RedisConnection::back_off() {
  const Millis longest = std::min(kFirstRetry * (1 << std::min(failures_, 10u)), kSlowestRetry);
  ++failures_;
  const auto half = static_cast<uint32_t>(longest.count() / 2);
  return Millis(half + shared_.random.below(half + 1));
}

void RedisConnection::on_timer() {
  switch (state_) {
    case State::waiting: return start();
    case State::connecting: return reconnect("it did not accept the connection in time");
    case State::securing: return reconnect("TLS handshake failed: it did not answer in time");
    case State::greeting: return reconnect("it did not answer the greeting in time");
    case State::ready:
      if (!queue_.empty() && replies_ == replies_when_overdue_) reconnect("it does not answer any more");
      return;
    case State::idle: return;
  }
}

void RedisConnection::note_overdue() {
  if (state_ != State::ready || timer_.is_set()) return;
  replies_when_overdue_ = replies_;
  timer_.set(shared_.loop.now() + patience_);
}

void RedisConnection::on_writable() {
  if (state_ != State::connecting && state_ != State::securing) return flush();
  if (const Result<void> made = stream_.outcome(); !made) return fail_to_connect(made.error());
  if (state_ == State::connecting && shared_.options.tls != nullptr) return begin_tls();
  stream_.want_write(false);
  greet();
}

void RedisConnection::begin_tls() {
  state_ = State::securing;
  std::string name = shared_.options.tls_server_name;
  if (name.empty()) {
    char ip[INET6_ADDRSTRLEN];
    name.assign(ip, address_.write_ip(ip));
  }
  stream_.secure(shared_.options.tls->connect(stream_.fd(), name));
}

void RedisConnection::on_error() {
  const Result<void> made = stream_.outcome();
  fail_to_connect(made ? Error{Reason::connect_failed, "the connection failed"} : made.error());
}

void RedisConnection::fail_to_connect(const Error& error) {
  if (error.reason != Reason::tls_handshake_failed) return reconnect(error.detail);
  reconnect(fmt::format("TLS handshake failed: {}", error.detail));
}

void RedisConnection::fail_to_talk() {
  const std::string_view failure = stream_.failure();
  const std::string_view why = failure.empty() ? "the connection was reset" : failure;
  if (state_ != State::greeting || shared_.options.tls == nullptr) return reconnect(why);
  // In TLS 1.3 a server looks at our certificate when our side of the handshake is done, and its alert may be lost by a reset.
  reconnect(fmt::format("{}, right after the TLS handshake: it may want another certificate of ours", why));
}

// All of it in one write. RESP2, which is what hiredis 0.14 reads.
void RedisConnection::greet() {
  state_ = State::greeting;
  const auto say = [this](RedisRequest::Kind kind, uint8_t number, auto&& write) {
    RedisRequest& request = *shared_.requests.make(kind).release();
    request.number = number;
    queue(request, write);
  };
  say(RedisRequest::Kind::hello, 0, [this](std::string& out) {
    const bool identifies = !greeting_.password.empty();
    CommandWriter writer(out, identifies ? 7 : 4);
    writer << "HELLO"
           << "2";
    if (identifies) {
      writer << "AUTH" << (greeting_.username.empty() ? std::string_view("default") : greeting_.username)
             << greeting_.password;
    }
    writer << "SETNAME"
           << "sluice";
  });
  if (greeting_.db != 0) {
    say(RedisRequest::Kind::select, 0,
        [this](std::string& out) { CommandWriter(out, 2) << "SELECT" << int64_t{greeting_.db}; });
  }
  for (uint8_t number = 0; greeting_.serves_operations && number < kScripts; ++number) {
    say(RedisRequest::Kind::load_script, number, [number](std::string& out) {
      CommandWriter(out, 3) << "SCRIPT"
                            << "LOAD" << script(number);
    });
  }
  if (greeting_.serves_operations)
    say(RedisRequest::Kind::trial, 0, [](std::string& out) { CommandWriter(out, 2) << "GET" << kTrialKey; });
  flush();
}

void RedisConnection::on_greeting_reply(const RedisRequest& request, const Reply& reply) {
  if (request.kind == RedisRequest::Kind::load_script) {
    // A user who may not load scripts may still run them: then each call carries the whole text.
    if (reply.is_error() && !reply.text().starts_with("NOPERM")) return reconnect(reply.text());
    if (reply.type() == Reply::Type::string && reply.text().size() == 40)
      shared_.digests[request.number] = reply.text();
  } else if (request.kind == RedisRequest::Kind::trial) {
    // An error is an answer too: the key may be in another node of a cluster, or one that we may not read.
    if (!outcome_of(Operation::get, reply)) return reconnect(kNotValid);
  } else if (reply.is_error()) {
    return reconnect(reply.text());
  } else if (request.kind == RedisRequest::Kind::hello && greeting_.wants_master && !is_master(reply)) {
    return reconnect("it is not the master");
  }
  if (!queue_.empty()) return;
  state_ = State::ready;
  failures_ = 0;
  timer_.cancel();
  user_.on_ready(*this);
}

bool RedisConnection::is_master(const Reply& hello) const {
  const auto& values = hello.values();
  for (size_t i = 1; i + 1 < values.size(); i = hello.after(i)) {
    if (hello.text_of(values[i]) == "role") return hello.text_of(values[i + 1]) == "master";
  }
  return false;
}

void RedisConnection::on_readable() {
  const std::span<char> buffer = shared_.loop.read_buffer();
  const event::IoResult got = stream_.read(buffer);
  switch (got.status) {
    case event::IoStatus::again: return;
    case event::IoStatus::eof: return reconnect("it closed the connection");
    case event::IoStatus::error: return fail_to_talk();
    case event::IoStatus::ok: break;
  }
  reader_.feed({buffer.data(), got.bytes});
  take_replies();
}

void RedisConnection::take_replies() {
  const uint32_t life = lives_;
  while (const Reply* reply = reader_.next()) {
    if (queue_.empty()) return reconnect("it answered what nobody asked");
    RedisRequest& request = queue_.pop_front();
    --queued_;
    ++replies_;
    const uint64_t end = request.begin + request.bytes;
    if (request.is_greeting()) {
      on_greeting_reply(request, *reply);
      shared_.requests.reclaim(&request);
    } else {
      user_.on_reply(*this, request, *reply);
    }
    if (life != lives_) return;
    release_until(end);
  }
  if (reader_.broken()) reconnect(kNotValid);
}

void RedisConnection::queue_written(RedisRequest& request, size_t bytes) {
  SL_ASSERT(state_ == State::ready || state_ == State::greeting);
  request.connection = this;
  request.begin = output_begin_ + output_.size() - bytes;
  request.bytes = bytes;
  queue_.push_back(request);
  ++queued_;
  user_.on_output(*this);
}

// Moving what is left costs less than it frees, and nothing is moved for long while the queue runs empty now and then.
void RedisConnection::release_until(uint64_t position) {
  released_ = position;
  if (released() == output_.size()) {
    output_.clear();
    if (output_.capacity() > kKeepBytes) output_.shrink_to_fit();
  } else if (released() > kCompactBytes && released() > output_.size() / 2) {
    output_.erase(0, released());
  } else {
    return;
  }
  output_begin_ = released_;
}

void RedisConnection::flush() {
  const std::string_view unsent = std::string_view(output_).substr(static_cast<size_t>(sent_ - output_begin_));
  if (unsent.empty()) return;
  const event::IoResult written = stream_.write(unsent);
  if (written.status == event::IoStatus::error) return fail_to_talk();
  if (written.status == event::IoStatus::ok) {
    ++shared_.figures.writes;
    sent_ += written.bytes;
  }
  stream_.want_write(written.bytes < unsent.size());
}

}  // namespace sluice::store
