#include "store/redis_sentinels.h"

#include "base/format.h"
#include "base/strings.h"

namespace sluice::store {

namespace {
constexpr Millis kPatience{500};  // with one sentinel
constexpr Millis kPause{200};     // at least, between two rounds of questions
constexpr Millis kInterval{1'000};
}  // namespace

RedisSentinels::RedisSentinels(const RedisShared& shared, const RedisOptions& options, User& user)
    : shared_(shared),
      options_(options),
      user_(user),
      greeting_{.username = options.sentinel_username, .password = options.sentinel_password},
      connection_(shared_, *this, greeting_, kPatience),
      timer_(
          shared.loop.timers(), [](void* self) { static_cast<RedisSentinels*>(self)->on_timer(); }, this) {}

RedisSentinels::~RedisSentinels() { connection_.close(); }

void RedisSentinels::ask() {
  if (asking_) return;
  asking_ = true;
  tried_ = 0;
  connection_.close();
  if (!pausing_) connect();
}

// Always the next one. The list may be another than before.
void RedisSentinels::connect() {
  current_ = (current_ + 1) % options_.addresses.size();
  timer_.set(shared_.loop.now() + kPatience);
  connection_.connect(options_.addresses[current_]);
}

void RedisSentinels::on_timer() {
  if (std::exchange(pausing_, false)) {
    if (asking_) return connect();
    if (user_.has_master()) return timer_.set(shared_.loop.now() + kInterval - kPause);
  }
  if (asking_) return try_next("it does not answer");
  asking_ = true;
  tried_ = 0;
  timer_.set(shared_.loop.now() + kPatience);
  question();
}

void RedisSentinels::try_next(std::string_view why) {
  const std::string reason = fmt::format("sentinel {}: {}", connection_.address().to_string(), why);
  asking_ = true;
  connection_.close();
  if (++tried_ < options_.addresses.size()) return connect();
  tried_ = 0;
  pausing_ = true;
  timer_.set(shared_.loop.now() + kPause);
  user_.on_no_master(reason);
}

void RedisSentinels::question() {
  RedisRequest& request = *shared_.requests.make(RedisRequest::Kind::master_address).release();
  connection_.queue(request, [this](std::string& out) {
    CommandWriter(out, 3) << "SENTINEL"
                          << "get-master-addr-by-name" << options_.master_name;
  });
  connection_.flush();
}

void RedisSentinels::on_ready(RedisConnection&) { question(); }

void RedisSentinels::on_reply(RedisConnection& connection, RedisRequest& request, const Reply& reply) {
  shared_.requests.reclaim(&request);
  if (reply.is_error()) return try_next(reply.text());
  const auto& values = reply.values();
  if (reply.type() == Reply::Type::nil) return try_next(fmt::format("it knows no master '{}'", options_.master_name));
  const std::optional<uint64_t> port = values.size() == 3 ? parse_u64(reply.text_of(values[2])) : std::nullopt;
  const std::optional<SocketAddress> address =
      port && *port <= 65535 ? parse_node(reply.text_of(values[1]), static_cast<int64_t>(*port), connection.address())
                             : std::nullopt;
  if (!address) return try_next("its answer is no address");
  asking_ = false;
  pausing_ = true;
  timer_.set(shared_.loop.now() + kPause);
  user_.on_master(*address);
}

void RedisSentinels::on_lost(RedisConnection&, std::string_view why) { try_next(why); }

void RedisSentinels::on_lost_request(RedisRequest& request, bool) { shared_.requests.reclaim(&request); }

void RedisSentinels::on_output(RedisConnection&) {}  // sent where it is written

}  // namespace sluice::store
