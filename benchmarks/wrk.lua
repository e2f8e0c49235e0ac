-- Sends the HTTP message of a file again and again; counts the answers that are not the right one.
-- Arguments: the file, the number in it to replace by the next one for each message (a session's
-- requests need ids of their own), and a text that only the right answer holds.

local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(arguments)
   local file = assert(io.open(arguments[1], "rb"))
   local message = file:read("*a")
   file:close()
   number, expected = tonumber(arguments[2]), arguments[3]
   local first, last = message:find(arguments[2], 1, true)
   if first then
      before, after = message:sub(1, first - 1), message:sub(last + 1)
   else
      request = function() return message end
   end
   wrong = 0
end

function request()
   number = number + 1
   return before .. string.format("%d", number) .. after
end

function response(status, headers, body)
   if status ~= 200 or not body:find(expected, 1, true) then
      wrong = wrong + 1
   end
end

function done(summary, latency)
   local errors, failed = summary.errors, 0
   for _, thread in ipairs(threads) do
      failed = failed + thread:get("wrong")
   end
   failed = failed + errors.connect + errors.read + errors.write + errors.timeout
   io.write(string.format(
      '\n{"requests": %d, "microseconds": %d, "failed": %d, "p50": %d, "p99": %d}\n',
      summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
