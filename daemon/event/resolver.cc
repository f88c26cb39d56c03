#include "event/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/unique_fd.h"

namespace sluice::event {

namespace {

// What a user can act on; the rest is c-ares's own text.
const char* text_of(int status) {
  switch (status) {
    case ARES_ENOTFOUND: return "DNS knows no such name (NXDOMAIN)";
    case ARES_ENODATA: return "the name has no address in DNS (neither A nor AAAA)";
    case ARES_ECONNREFUSED: return "no DNS server could be reached, or each failed (SERVFAIL) or refused (REFUSED)";
    case ARES_ETIMEOUT: return "no DNS server answered in time";
    case ARES_EBADRESP: return "the DNS server's answer is malformed";
    case ARES_EDESTRUCTION: return "the DNS settings changed while the name was looked up";
    default: return ares_strerror(status);  // static text
  }
}

// Without a packet: connect() of a datagram socket only asks the kernel for a route. A machine without IPv6 has none for the
// AAAA records that most public names have by now.
bool has_route(const SocketAddress& address) {
  constexpr uint16_t kDiscard = 9;  // any port will do, but 0
  const UniqueFd fd(::socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno == EMFILE || errno == ENFILE;  // then nothing is known
  const SocketAddress to = address.with_port(kDiscard);
  if (::connect(fd.get(), to.get(), to.length()) == 0) return true;
  return errno == EAGAIN;  // no port left: nothing is known either
}

// Only the address: equal ones must be equal byte by byte.
SocketAddress address_of(const sockaddr& found) {
  if (found.sa_family == AF_INET6) {
    sockaddr_in6 v6{.sin6_family = AF_INET6};
    v6.sin6_addr = reinterpret_cast<const sockaddr_in6&>(found).sin6_addr;
    return SocketAddress::from(reinterpret_cast<const sockaddr*>(&v6), sizeof(v6));
  }
  sockaddr_in v4{.sin_family = AF_INET};
  v4.sin_addr = reinterpret_cast<const sockaddr_in&>(found).sin_addr;
  return SocketAddress::from(reinterpret_cast<const sockaddr*>(&v4), sizeof(v4));
}

Resolver::Answer answer_of(const ares_addrinfo& found) {
  Resolver::Answer answer;
  int64_t ttl = INT32_MAX;
  for (const ares_addrinfo_cname* alias = found.cnames; alias != nullptr; alias = alias->next) {
    ttl = std::min<int64_t>(ttl, alias->ttl);
  }
  for (const ares_addrinfo_node* node = found.nodes; node != nullptr; node = node->ai_next) {
    if (node->ai_family != AF_INET && node->ai_family != AF_INET6) continue;
    ttl = std::min<int64_t>(ttl, node->ai_ttl);
    answer.addresses.push_back(address_of(*node->ai_addr));
  }
  answer.ttl = Seconds(std::max<int64_t>(ttl, 0));
  std::sort(answer.addresses.begin(), answer.addresses.end());
  answer.addresses.erase(std::unique(answer.addresses.begin(), answer.addresses.end()), answer.addresses.end());
  std::vector<SocketAddress> reachable;
  std::copy_if(answer.addresses.begin(), answer.addresses.end(), std::back_inserter(reachable), has_route);
  if (!reachable.empty()) answer.addresses = std::move(reachable);
  return answer;
}

}  // namespace

/// One socket of c-ares's in the loop's poller.
class Resolver::Socket final : public Deferred, private Poller::Watcher {
 public:
  Socket(Resolver& resolver, int fd) : resolver_(resolver), fd_(fd) {}

  [[nodiscard]] int fd() const { return fd_; }
  void want(uint32_t events) {
    Poller& poller = resolver_.loop_.poller();
    if (watched_) return poller.change(fd_, events, *this);
    watched_ = poller.add(fd_, events, *this);  // if not, the lookup runs into its timeout
  }
  void forget() {
    if (watched_) resolver_.loop_.poller().remove(fd_, *this);
    watched_ = false;
  }

 private:
  void on_ready(uint32_t events) override {
    constexpr uint32_t kFailed = EPOLLERR | EPOLLHUP;
    const int readable = (events & (EPOLLIN | kFailed)) != 0 ? fd_ : ARES_SOCKET_BAD;
    const int writable = (events & (EPOLLOUT | kFailed)) != 0 ? fd_ : ARES_SOCKET_BAD;
    resolver_.process(readable, writable);
  }

  Resolver& resolver_;
  int fd_;
  bool watched_ = false;
};

struct Resolver::Lookup {
  Resolver& resolver;
  Callback callback;
};

Resolver::Resolver(Loop& loop, Options options)
    : loop_(loop),
      options_(std::move(options)),
      timer_(
          loop.timers(), [](void* self) { static_cast<Resolver*>(self)->process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); },
          this) {
  open_channel();
}

Resolver::~Resolver() {
  dying_ = true;
  close_channel();
}

void Resolver::configure(Options options) {
  if (options == options_) return;
  close_channel();
  options_ = std::move(options);
  open_channel();
}

void Resolver::open_channel() {
  struct stat status {};
  resolv_conf_changed_ = ::stat(options_.resolv_conf.c_str(), &status) == 0 ? status.st_mtim : timespec{};
  ares_options wanted{};
  wanted.timeout = static_cast<int>(options_.timeout.count());
  wanted.tries = kTries;
  wanted.resolvconf_path = options_.resolv_conf.data();
  wanted.sock_state_cb_data = this;
  wanted.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
    static_cast<Resolver*>(self)->watch(fd, readable != 0, writable != 0);
  };
  channel_status_ = ares_init_options(
      &channel_, &wanted, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_STATE_CB);
  if (channel_status_ != ARES_SUCCESS) {
    channel_ = nullptr;
    return;
  }
  if (options_.servers.empty()) return;
  std::string list;
  for (const SocketAddress& server : options_.servers) {
    if (!list.empty()) list += ',';
    list += server.to_string();
  }
  SL_ASSERT(ares_set_servers_ports_csv(channel_, list.c_str()) == ARES_SUCCESS);
}

std::string Resolver::servers() const {
  ares_addr_port_node* first = nullptr;
  if (channel_ == nullptr || ares_get_servers_ports(channel_, &first) != ARES_SUCCESS) return {};
  const std::unique_ptr<ares_addr_port_node, void (*)(void*)> owned(first, &ares_free_data);
  std::string text;
  for (const ares_addr_port_node* node = first; node != nullptr; node = node->next) {
    char ip[INET6_ADDRSTRLEN];
    if (inet_ntop(node->family, &node->addr, ip, sizeof(ip)) == nullptr) continue;
    if (!text.empty()) text += ", ";
    text.append(node->family == AF_INET6 ? "[" : "").append(ip).append(node->family == AF_INET6 ? "]:" : ":");
    text += std::to_string(node->udp_port != 0 ? node->udp_port : 53);
  }
  return text;
}

// Lookups under way hear of it (finish()), and what they ask for then fails as well.
void Resolver::close_channel() {
  timer_.cancel();
  channel_status_ = ARES_EDESTRUCTION;
  if (ares_channeldata* closed = std::exchange(channel_, nullptr)) ares_destroy(closed);
}

// The machine may get other servers (DHCP, a VPN), and c-ares reads them only once.
void Resolver::refresh_resolv_conf() {
  if (!options_.servers.empty() || calling_back_) return;
  struct stat status {};
  if (::stat(options_.resolv_conf.c_str(), &status) != 0) return;
  const timespec& now = status.st_mtim;
  if (now.tv_sec == resolv_conf_changed_.tv_sec && now.tv_nsec == resolv_conf_changed_.tv_nsec) return;
  close_channel();
  open_channel();
}

void Resolver::resolve(const std::string& host, Callback callback) {
  refresh_resolv_conf();
  if (channel_ == nullptr) return callback(Error{Reason::upstream_unresolved, text_of(channel_status_)});
  auto* lookup = new Lookup{*this, std::move(callback)};
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  // The order does not matter here; and $CARES_HOSTS may name another file than /etc/hosts.
  hints.ai_flags = ARES_AI_NOSORT | ARES_AI_ENVHOSTS;
  const auto finished = [](void* raw, int status, int, ares_addrinfo* found) {
    const std::unique_ptr<Lookup> ended(static_cast<Lookup*>(raw));
    ended->resolver.finish(*ended, status, found);
  };
  ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, finished, lookup);
  arm();
}

void Resolver::finish(Lookup& lookup, int status, ares_addrinfo* found) {
  const std::unique_ptr<ares_addrinfo, void (*)(ares_addrinfo*)> owned(found, &ares_freeaddrinfo);
  if (dying_) return;
  Answer answer;
  if (status == ARES_SUCCESS) answer = answer_of(*found);
  if (status == ARES_SUCCESS && answer.addresses.empty()) status = ARES_ENODATA;
  const bool nested = std::exchange(calling_back_, true);
  if (status == ARES_SUCCESS) {
    lookup.callback(std::move(answer));
  } else {
    lookup.callback(Error{Reason::upstream_unresolved, text_of(status)});
  }
  calling_back_ = nested;
}

// c-ares opened a socket, waits for something else at it, or (nothing to wait for) is about to close it.
void Resolver::watch(int fd, bool readable, bool writable) {
  auto at = std::find_if(sockets_.begin(), sockets_.end(), [fd](const auto& socket) { return socket->fd() == fd; });
  if (!readable && !writable) {
    if (at == sockets_.end()) return;
    (*at)->forget();
    loop_.defer_delete(std::move(*at));  // its on_ready() may be on the stack
    sockets_.erase(at);
    return;
  }
  if (at == sockets_.end()) at = sockets_.insert(at, std::make_unique<Socket>(*this, fd));
  const uint32_t in = readable ? static_cast<uint32_t>(EPOLLIN) : 0;
  (*at)->want(in | (writable ? static_cast<uint32_t>(EPOLLOUT) : 0));
}

void Resolver::process(int readable_fd, int writable_fd) {
  if (channel_ == nullptr) return;
  ares_process_fd(channel_, readable_fd, writable_fd);
  arm();
}

void Resolver::arm() {
  timeval left{};
  if (channel_ == nullptr || ares_timeout(channel_, nullptr, &left) == nullptr) return timer_.cancel();
  timer_.set(loop_.now() + Seconds(left.tv_sec) + Micros(left.tv_usec));
}

}  // namespace sluice::event
