"""The delivery engine under faults: fixed schedules, random ones, real processes, and builds that must fail."""
