-- Store images or outcomes of stages, replacing earlier ones. ARGV: order, images or stages, names and values.
if redis.call('EXISTS', order(ARGV[1])) == 1 then
  for index = 3, #ARGV, 2 do
    redis.call('HSET', key(ARGV[2] .. ':' .. ARGV[1]), ARGV[index], ARGV[index + 1])
  end
end
return false
