import { hexOf, SQL_ASCII_ROWS, testEncodings } from '../fixtures/encoding-cases';

testEncodings([
  { source: 'SQL_ASCII', target: 'SQL_ASCII', rows: SQL_ASCII_ROWS, refused: [] },
  { source: 'SQL_ASCII', target: 'UTF8', rows: SQL_ASCII_ROWS, refused: [2, 3, 4, 5, 6, 8, 9, 10] },
  { source: 'LATIN1', target: 'UTF8', rows: [hexOf('plain'), 'e9', 'ff', 'a0', '8081'], refused: [] },
  { source: 'UTF8', target: 'LATIN1', rows: [hexOf('plain'), hexOf('é'), hexOf('ẞ'), hexOf('👩')], refused: [2, 3] },
]);
