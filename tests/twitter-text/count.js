// Reads a JSON array of texts and writes, for each, its weight, its links and its number of cashtags by X's own library.
const { extractCashtagsWithIndices, extractUrlsWithIndices, parseTweet } = require('twitter-text')

const texts = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
const counts = texts.map((text) => {
  // Links are taken from the normal form, as parseTweet does.
  const normal = text.normalize()
  return {
    weighted: parseTweet(text).weightedLength,
    links: extractUrlsWithIndices(normal).length,
    cashtags: extractCashtagsWithIndices(normal).length
  }
})
process.stdout.write(JSON.stringify(counts))
