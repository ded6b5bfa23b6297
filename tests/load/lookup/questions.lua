-- What wrk asks, and what it says in the end. Arguments: the number of devices, the first TAC, the stride, a random
-- number, the value of Authorization, and how many IMEIs a question has: one is asked by GET, more by POST.

local numbered, BODIES = 0, 16

function setup(thread)
   numbered = numbered + 1
   thread:set("number", numbered)
end

local devices, first, stride, many, tail, bodies

local function drawn()
   local device = math.random(0, devices - 1)
   local key = (first + math.floor(device / 1e6)) * 1e6 + device * stride % 1e6
   -- The last digit is not judged.
   return string.format("%.0f0", key)
end

local function body()
   local imeis = {}
   for place = 1, many do
      imeis[place] = '"' .. drawn() .. '"'
   end
   return '{"imeis":[' .. table.concat(imeis, ",") .. "]}"
end

function init(args)
   devices, first, stride, many = tonumber(args[1]), tonumber(args[2]), tonumber(args[3]), tonumber(args[6])
   math.randomseed(tonumber(args[4]) + number)
   tail = " HTTP/1.1\r\nHost: " .. wrk.host .. "\r\nAuthorization: " .. args[5] .. "\r\n"
   if many > 1 then
      bodies = {}
      for place = 1, BODIES do
         local said = body()
         bodies[place] = "POST /v1/status" .. tail .. "Content-Type: application/json\r\nContent-Length: "
            .. #said .. "\r\n\r\n" .. said
      end
   end
end

function request()
   if many > 1 then
      return bodies[math.random(BODIES)]
   end
   return "GET /v1/status/" .. drawn() .. tail .. "\r\n"
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "seconds": %f, "p99": %f, "failed": %d}\n', summary.requests, summary.duration / 1e6,
      latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout
   ))
end
