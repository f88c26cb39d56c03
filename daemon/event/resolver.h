// Resolver: host names to addresses by DNS (c-ares), without blocking its loop. A and AAAA records are asked for in parallel,
// /etc/hosts is honoured, lying and late answers are dropped. Used on its loop's thread only. Destroying it drops the
// lookups under way: their callbacks are not called any more.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "event/loop.h"

struct ares_addrinfo;
struct ares_channeldata;

namespace sluice::event {

class Resolver {
 public:
  static constexpr int kTries = 2;  // at each server

  struct Options {
    std::vector<SocketAddress> servers;  // empty: those of resolv_conf, which is read again when it changed
    Millis timeout{2000};                // of the first try; c-ares doubles it for the next
    std::string resolv_conf = "/etc/resolv.conf";

    friend bool operator==(const Options&, const Options&) = default;
  };
  struct Answer {
    std::vector<SocketAddress> addresses;  // with port 0, sorted, each once, never empty
    Seconds ttl{0};                        // the shortest of the records'; 0 for what stands in /etc/hosts
  };
  using Callback = std::function<void(Result<Answer>)>;

  Resolver(Loop& loop, Options options);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// Looks `host` up. An error is an upstream_unresolved whose detail says why, and comes at the latest when all servers were
  /// tried kTries times. `callback` may be called before resolve() returns, and may resolve again, but must not destroy the
  /// resolver.
  void resolve(const std::string& host, Callback callback);
  /// New options; lookups under way end with an error if that changes anything. Not from inside a callback.
  void configure(Options options);
  /// Who is asked: "127.0.0.1:53, [2001:db8::1]:53".
  [[nodiscard]] std::string servers() const;

 private:
  class Socket;
  struct Lookup;

  void open_channel();
  void close_channel();
  void refresh_resolv_conf();
  void watch(int fd, bool readable, bool writable);
  void process(int readable_fd, int writable_fd);
  void arm();
  void finish(Lookup& lookup, int status, ares_addrinfo* found);

  Loop& loop_;
  Options options_;
  ares_channeldata* channel_ = nullptr;
  int channel_status_ = 0;  // why there is no channel
  Timer timer_;             // c-ares's next timeout
  std::vector<std::unique_ptr<Socket>> sockets_;
  timespec resolv_conf_changed_{};  // when the file that the channel was made from was written
  bool calling_back_ = false;
  bool dying_ = false;
};

}  // namespace sluice::event
