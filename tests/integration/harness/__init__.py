"""What the integration tests are written with: the gateway's process, raw clients, raw origins, and waiting."""

from .certificates import Authority
from .deadline import DEADLINE, SLOW, in_background, milliseconds, wait_until
from .delay_proxy import DelayProxy
from .dns import DnsServer
from .early_data import EarlyContext
from .gateway import (BINARY, SANITIZER, Sluice, assert_problem, free_port, merged, proxy_config, proxying, sluice,
                      upstream)
from .http2 import Http2Client
from .http2_origin import Http2Origin
from .origin import OK, RawOrigin, answering, echo, greeting
from .redis import Redis, RedisCluster, SentinelTrio, redis_store
from .wire import CHUNKED, End, NotHttp, PeerEnded, RawClient, chunked, request, response
