-- Store drafts of products with new SKUs, and return their number. ARGV: merchant, SKUs and drafts.
local count = 0
for index = 2, #ARGV, 2 do
  count = count + redis.call('HSETNX', key('products:' .. ARGV[1]), ARGV[index], ARGV[index + 1])
end
return count
