-- What `wrk` measured, as one line of JSON: its own report has no 99.9th percentile and not its CPU time. All times are in microseconds.

-- utime and stime of proc(5), in ticks of 10 ms. The name before them, in brackets, may hold anything.
local function cpu_time()
  local file = io.open("/proc/self/stat")
  local fields = {}
  for field in file:read("*a"):match(".*%) (.*)"):gmatch("%S+") do
    fields[#fields + 1] = field
  end
  file:close()
  return (fields[12] + fields[13]) * 10000
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"duration":%d,"errors":%d,"cpu":%d,"p50":%d,"p99":%d,"p999":%d}\n',
    summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    cpu_time(), latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
